//! `cargo xtask run`: build, and open the window.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use warden_tests::process::{Process, until};
use warden_tests::{Display, Picture, Window, program};

use crate::demo::Demo;
use crate::interrupt::Interrupts;
use crate::{build, system};

/// A cold start under a software renderer on a busy machine takes some seconds.
const LIVE_WITHIN: Duration = Duration::from_secs(60);
/// How often a window beside a demo is looked at, as the demo looks at its own processes.
const LOOK: Duration = Duration::from_millis(100);
/// How long a window may take to end.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Write a picture of the window, as the display shows it, and exit.
    #[arg(long, value_name = "FILE.png")]
    shot: Option<PathBuf>,
    /// NERV, Light, Dark, High contrast, or one of your own.
    #[arg(long, value_name = "NAME")]
    theme: Option<String>,
    /// The window's size in a picture.
    #[arg(long, value_name = "WxH", default_value = "1280x800", value_parser = parse_size)]
    size: (u32, u32),
    /// A broker of its own with simulated GPUs, and processes that contend for them.
    #[arg(long)]
    demo: bool,
    /// What the window is given besides (`warden-dashboard --help`).
    #[arg(last = true)]
    arguments: Vec<String>,
}

pub fn run(options: &Options) -> Result<()> {
    match &options.shot {
        Some(file) => {
            system::ready_for_stand()?;
            build::programs()?;
            let mut shot = Shot::new(options.size);
            shot.theme.clone_from(&options.theme);
            shot.arguments.clone_from(&options.arguments);
            let picture = if options.demo {
                let interrupts = Interrupts::take()?;
                let picture = shot.of_demo(&Demo::start()?);
                no_interrupt(&interrupts)?;
                picture?
            } else {
                shot.of_default()?
            };
            picture.save(file)?;
            println!("{}", file.display());
            Ok(())
        }
        None => open(options),
    }
}

fn open(options: &Options) -> Result<()> {
    if cfg!(target_os = "linux")
        && ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .all(|name| std::env::var_os(name).is_none())
    {
        bail!(
            "there is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set), so no window can \
             open. `cargo xtask run --shot window.png --demo` writes a picture of one instead"
        );
    }
    system::ready_for_window()?;
    build::programs()?;
    let mut command = program("warden-dashboard")?;
    if let Some(theme) = &options.theme {
        command.args(["--theme", theme]);
    }
    command.args(&options.arguments);
    if !options.demo {
        return build::expect_success(&mut command);
    }
    // Before the demo, whose processes and folder are ended and removed whatever ends this.
    let interrupts = Interrupts::take()?;
    let demo = Demo::start()?;
    no_interrupt(&interrupts)?;
    command.arg("--data-dir").arg(demo.data_dir());
    let mut window = Process::start(&mut command)?;
    while window.is_running() {
        let Some(signal) = interrupts.within(LOOK) else {
            continue;
        };
        // It may have had the signal from the terminal, and be gone by now.
        let _ = window.signal(signal);
        let gone = || Ok((!window.is_running()).then_some(()));
        return until(GRACE, "the window to end", gone);
    }
    let status = window.child().wait()?;
    ensure!(status.success(), "the window failed: {status}");
    Ok(())
}

/// Fails where somebody wants an end.
fn no_interrupt(interrupts: &Interrupts) -> Result<()> {
    match interrupts.within(Duration::ZERO) {
        Some(signal) => bail!("ended by {signal}"),
        None => Ok(()),
    }
}

/// A picture of the real window on a virtual display.
#[derive(Debug)]
pub struct Shot {
    size: (u32, u32),
    pub theme: Option<String>,
    arguments: Vec<String>,
}

impl Shot {
    pub fn new(size: (u32, u32)) -> Self {
        Self {
            size,
            theme: None,
            arguments: Vec::new(),
        }
    }

    /// Of a demo, once the window shows that all who contend are there.
    pub fn of_demo(&self, demo: &Demo) -> Result<Picture> {
        let revision = demo.wait_until_contended()?;
        let display = Display::start(self.size.0, self.size.1)?;
        let window = Window::open(
            &display,
            Some(demo.data_dir()),
            &self.line(&["--no-broker"]),
        )?;
        window.wait_for("shown", LIVE_WITHIN, |report| {
            report["revision"].as_u64() >= Some(revision)
        })?;
        display.fill(window.pid())?;
        display.picture_at_rest()
    }

    /// Of whatever broker answers here, started where there is none, as `cargo xtask run` would.
    fn of_default(&self) -> Result<Picture> {
        let display = Display::start(self.size.0, self.size.1)?;
        let window = Window::open(&display, None, &self.line(&[]))?;
        window.wait_for("live", LIVE_WITHIN, |_| true)?;
        display.fill(window.pid())?;
        display.picture_at_rest()
    }

    fn line<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let mut line = more.to_vec();
        if let Some(theme) = &self.theme {
            line.extend(["--theme", theme]);
        }
        line.extend(self.arguments.iter().map(String::as_str));
        line
    }
}

fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let size = text
        .split_once('x')
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    size.filter(|(w, h)| (320..=7680).contains(w) && (240..=4320).contains(h))
        .ok_or_else(|| format!("{text:?} is no size like 1280x800"))
}
