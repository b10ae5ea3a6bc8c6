//! A virtual display: what it shows, and real keys and clicks on it.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::picture::Picture;
use crate::process::{Process, output, until};

/// An Xvfb of its own, on a free display number that Xvfb chose.
#[derive(Debug)]
pub struct Display {
    name: String,
    runtime: tempfile::TempDir,
    _server: Process,
}

impl Display {
    /// Starts one, `width` × `height` pixels.
    ///
    /// # Errors
    /// When Xvfb is missing or does not come up.
    pub fn start(width: u32, height: u32) -> Result<Self> {
        let runtime = tempfile::tempdir()?;
        let mut server = Process::start(
            Command::new("Xvfb")
                .args(["-displayfd", "1", "-nolisten", "tcp", "-noreset"])
                .args(["-screen", "0", &format!("{width}x{height}x24")])
                .stdout(Stdio::piped())
                .stderr(Stdio::null()),
        )?;
        let stdout = server.child().stdout.take().context("Xvfb's output")?;
        let mut number = String::new();
        BufReader::new(stdout)
            .read_line(&mut number)
            .context("Xvfb did not name its display")?;
        let name = format!(":{}", number.trim());
        Ok(Self {
            name,
            runtime,
            _server: server,
        })
    }

    /// Makes `command` open its windows here, with the software renderer where there is no other.
    pub fn show<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("DISPLAY", &self.name)
            .env("XDG_RUNTIME_DIR", self.runtime.path())
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("WAYLAND_SOCKET")
    }

    /// Everything that the display shows.
    ///
    /// # Errors
    /// When ImageMagick is missing or its picture cannot be read.
    pub fn picture(&self) -> Result<Picture> {
        Picture::decode(&output(
            self.tool("import").args(["-window", "root", "png:-"]),
        )?)
    }

    /// What the display shows once that stands still: a frame that was handed over takes a while to
    /// be there, and so do those after it.
    ///
    /// # Errors
    /// As [`Self::picture`], and when it does not stand still within two minutes: new drawing code proves
    /// itself by 60 frames, on which what counts down is never still, and a large window in software may
    /// get two of them a second.
    pub fn picture_at_rest(&self) -> Result<Picture> {
        let mut last = self.picture()?;
        until(
            Duration::from_secs(120),
            "the display to stand still",
            || {
                let now = self.picture()?;
                let at_rest = now == last && !now.is_blank();
                last = now;
                Ok(at_rest.then(|| last.clone()))
            },
        )
    }

    /// Gives the keyboard to the only window: there is no window manager that would.
    ///
    /// # Errors
    /// When xdotool is missing or there is no window of process `pid`.
    pub fn focus(&self, pid: u32) -> Result<()> {
        let window = self.window_of(pid)?;
        output(self.xdotool().args(["windowfocus", &window])).map(drop)
    }

    /// Makes the only window as large as the display, as somebody would who looks at nothing else.
    ///
    /// # Errors
    /// When xdotool is missing or there is no window of process `pid`.
    pub fn fill(&self, pid: u32) -> Result<()> {
        let window = self.window_of(pid)?;
        let all = ["windowsize", "--sync", &window, "100%", "100%"];
        output(self.xdotool().args(all)).map(drop)
    }

    /// The window of a process, by X's number of it.
    fn window_of(&self, pid: u32) -> Result<String> {
        until(
            Duration::from_secs(20),
            "a window to be on the display",
            || {
                let found = output(self.xdotool().args([
                    "search",
                    "--onlyvisible",
                    "--pid",
                    &pid.to_string(),
                ]));
                // xdotool ends with 1 where there is none.
                Ok(found.ok().and_then(|ids| {
                    String::from_utf8(ids)
                        .ok()?
                        .lines()
                        .next()
                        .map(str::to_owned)
                }))
            },
        )
    }

    /// Presses a key or a chord, as xdotool writes it (`ctrl+alt+r`).
    ///
    /// # Errors
    /// When xdotool fails.
    pub fn press(&self, chord: &str) -> Result<()> {
        output(
            self.xdotool()
                .args(["key", "--delay", "0", "--clearmodifiers", chord]),
        )
        .map(drop)
    }

    /// Types text.
    ///
    /// # Errors
    /// When xdotool fails.
    pub fn type_text(&self, text: &str) -> Result<()> {
        output(self.xdotool().args(["type", "--delay", "20", "--", text])).map(drop)
    }

    /// Clicks the left button at a pixel.
    ///
    /// # Errors
    /// When xdotool fails.
    pub fn click(&self, x: u32, y: u32) -> Result<()> {
        self.click_button(x, y, 1, 1)
    }

    /// Turns the wheel down over a pixel.
    ///
    /// # Errors
    /// When xdotool fails.
    pub fn scroll_down(&self, x: u32, y: u32, notches: u32) -> Result<()> {
        self.click_button(x, y, 5, notches)
    }

    fn click_button(&self, x: u32, y: u32, button: u32, times: u32) -> Result<()> {
        output(
            self.xdotool()
                .args(["mousemove", "--sync", &x.to_string(), &y.to_string()])
                .args([
                    "click",
                    "--repeat",
                    &times.to_string(),
                    "--delay",
                    "40",
                    &button.to_string(),
                ]),
        )
        .map(drop)
    }

    fn xdotool(&self) -> Command {
        self.tool("xdotool")
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env("DISPLAY", &self.name).stdin(Stdio::null());
        command
    }
}
