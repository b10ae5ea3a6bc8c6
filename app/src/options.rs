//! The command line of `warden-dashboard`.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// The window on Warden's queue.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "warden-dashboard", version, about)]
pub struct Options {
    /// Where the broker listens: `HOST:PORT`, a URL, or `unix:PATH`.
    #[arg(long, env = "WARDEN_ADDR", value_name = "ADDRESS")]
    pub addr: Option<String>,
    /// The broker's data directory.
    #[arg(long, env = "WARDEN_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The configuration, with `themes/` in it.
    #[arg(long, value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
    /// The theme to start with, by its file or by the name that it shows; remembered otherwise.
    #[arg(long, value_name = "NAME")]
    pub theme: Option<String>,
    /// The size to start with; remembered otherwise.
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub size: Option<(f32, f32)>,
    /// Never start a broker.
    #[arg(long)]
    pub no_broker: bool,
    /// Nothing moves by itself.
    #[arg(long, env = "WARDEN_REDUCED_MOTION", value_parser = clap::builder::FalseyValueParser::new())]
    pub reduced_motion: bool,
    /// Rehearse new drawing code in a process of its own first: a crash or an endless loop in it
    /// then harms nothing. Costs each reload that process's start.
    #[arg(long)]
    pub paranoid: bool,
    /// What such a process is started with.
    #[arg(long, value_name = "FILE", hide = true)]
    pub rehearse: Option<PathBuf>,
    /// Say on standard output, one line of JSON each, what the window does.
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "events")]
    pub report: Option<Report>,
}

/// How much `--report` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Report {
    /// Live, shown revisions, generations, failures.
    Events,
    /// Every frame too, with what it cost.
    Frames,
}

fn size(text: &str) -> Result<(f32, f32), String> {
    let size = text.split_once('x').and_then(|(width, height)| {
        Some((width.parse::<u16>().ok()?, height.parse::<u16>().ok()?))
    });
    match size {
        Some((width @ 320..=16_384, height @ 240..=16_384)) => Ok((width.into(), height.into())),
        _ => Err(format!(
            "`{text}` is no size: write WIDTHxHEIGHT, at least 320x240"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_takes_its_value_only_after_an_equals_sign() {
        let parse =
            |words: &[&str]| Options::try_parse_from([&["warden-dashboard"], words].concat());
        assert_eq!(parse(&[]).unwrap().report, None);
        assert_eq!(
            parse(&["--report", "--no-broker"]).unwrap().report,
            Some(Report::Events)
        );
        assert_eq!(
            parse(&["--report=frames"]).unwrap().report,
            Some(Report::Frames)
        );
        assert_eq!(
            parse(&["--size", "640x480"]).unwrap().size,
            Some((640.0, 480.0))
        );
        for wrong in ["640", "0x0", "640x-1", "9999999x10", "axb"] {
            assert!(parse(&["--size", wrong]).is_err(), "{wrong}");
        }
    }
}
