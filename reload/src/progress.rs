//! How far a build has come, as cargo says it to a terminal.

use std::time::{Duration, Instant};

use crate::status::Progress;

/// A build says nothing of itself before this: most reloads are over by then, and another frame
/// would take the processor from the compiler.
const SILENCE: Duration = Duration::from_millis(700);
/// And is heard at most so often from then on.
const EVERY: Duration = Duration::from_millis(200);
/// The longest line that is gathered, in bytes.
const LINE_MAX: usize = 1024;

/// Reads cargo's progress bar off its standard error.
pub(crate) struct Meter<F> {
    heard: F,
    line: Vec<u8>,
    next: Instant,
    last: Progress,
}

impl<F: FnMut(Progress)> Meter<F> {
    pub fn new(heard: F) -> Self {
        Self {
            heard,
            line: Vec::new(),
            next: Instant::now() + SILENCE,
            last: Progress::default(),
        }
    }

    pub fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                // The bar is drawn over itself.
                b'\r' | b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    self.hear(&String::from_utf8_lossy(&line));
                }
                byte if self.line.len() < LINE_MAX => self.line.push(*byte),
                _ => {}
            }
        }
    }

    fn hear(&mut self, line: &str) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        if let Some(progress) = parse(line).filter(|progress| *progress != self.last) {
            self.next = now + EVERY;
            self.last = progress.clone();
            (self.heard)(progress);
        }
    }
}

/// `    Building [====>      ] 12/345: serde, syn(build)`, among control characters.
fn parse(line: &str) -> Option<Progress> {
    let (_, rest) = line.split_once('[')?.1.split_once("] ")?;
    let (count, current) = rest.split_once(':').unwrap_or((rest, ""));
    let (done, total) = count.trim().split_once('/')?;
    Some(Progress {
        done: done.parse().ok()?,
        total: total.parse().ok()?,
        current: current
            .chars()
            .filter(|c| !c.is_control())
            .collect::<String>()
            .trim()
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_read_and_nothing_else_is() {
        let bar = "    Building [=====>           ] 12/345: serde, syn(build)\u{1b}[K";
        let progress = parse(bar).unwrap();
        assert_eq!((progress.done, progress.total), (12, 345));
        assert!(progress.current.starts_with("serde, syn(build)"));
        for other in [
            "",
            "   Compiling serde v1.0.0",
            "warning: [x] 1/y: z",
            "[] /",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_short_build_stays_silent() {
        let mut heard = 0;
        let mut meter = Meter::new(|_| heard += 1);
        meter.read(b"Building [=> ] 1/2: a\rBuilding [==>] 2/2\n");
        assert_eq!(meter.line, b"");
        meter.next = Instant::now();
        meter.read(b"Building [=> ] 1/2: a\rBuilding [==>] 2/2\n");
        assert_eq!(meter.last.done, 1);
        assert_eq!(heard, 1);
    }
}
