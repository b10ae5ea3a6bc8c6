//! A line a check.

use crate::exit::Exit;
use crate::status::print;

/// What a check found out: a few figures, or what is wrong.
pub type Finding = Result<String, Wrong>;

/// Why a check failed, in words.
#[derive(Debug)]
pub struct Wrong(pub String);

impl From<warden_client::Error> for Wrong {
    fn from(error: warden_client::Error) -> Self {
        Self(error.to_string())
    }
}

/// Fails a check with words.
pub fn wrong<T>(what: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong(what.into()))
}

/// The lines so far, as far as they matter for the end.
#[derive(Debug, Default)]
pub struct Report {
    failed: usize,
}

impl Report {
    /// Prints what a check found.
    pub fn line(&mut self, name: &str, finding: Finding) -> std::io::Result<()> {
        match finding {
            Ok(detail) => print(&format!("ok      {name}: {detail}\n")),
            Err(Wrong(why)) => {
                self.failed += 1;
                print(&format!("FAILED  {name}: {why}\n"))
            }
        }
    }

    /// Prints that a check was left out.
    pub fn skip(&mut self, name: &str, why: &str) -> std::io::Result<()> {
        print(&format!("skipped {name}: {why}\n"))
    }

    /// Failure where any check failed.
    pub fn exit(&self) -> Exit {
        match self.failed {
            0 => Exit::Success,
            _ => Exit::Failure,
        }
    }
}
