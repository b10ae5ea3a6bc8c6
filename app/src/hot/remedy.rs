//! What helps where a library does not fit the window.

use std::time::SystemTime;

use warden_reload::{Failure, Status};

use super::{Hot, Source};

/// What helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Another attempt, after whatever it takes to make that one a success.
    Reload,
    /// Another attempt as it is: what was refused lay there from before the window's own program.
    Rebuild,
    /// The window built anew and begun again: it is of yesterday, so that no build of the library
    /// fits it.
    Restart,
    /// Neither: nothing can be built here.
    Reinstall,
}

/// What is known of an attempt that was refused.
#[derive(Clone, Copy, Debug)]
struct Refused {
    needs_restart: bool,
    /// The library was built in this attempt.
    was_built: bool,
    /// It can be built here.
    can_build: bool,
    /// When the library's file was written, and when the window's program was.
    library: Option<SystemTime>,
    window: Option<SystemTime>,
}

impl Refused {
    fn remedy(self) -> Remedy {
        if !self.needs_restart {
            Remedy::Reload
        } else if !self.can_build {
            Remedy::Reinstall
        } else if !self.was_built && self.library < self.window {
            Remedy::Rebuild
        } else {
            Remedy::Restart
        }
    }
}

impl Remedy {
    /// What to do, in a sentence; nothing where the failure's own words say what is wrong.
    #[must_use]
    pub fn advice(self) -> Option<&'static str> {
        match self {
            Self::Reload => None,
            Self::Rebuild => Some("the library is older than this window: Reload builds it anew"),
            Self::Restart => Some(
                "this window is older than its source: a warm restart builds both and goes on in place",
            ),
            Self::Reinstall => Some(
                "library and window are of different builds: install both anew and start the window",
            ),
        }
    }
}

impl Hot {
    /// What helps after this failure of a module that stands like this.
    #[must_use]
    pub fn remedy(&self, status: &Status, failure: &Failure) -> Remedy {
        let Source::Reloaded { place, .. } = &self.source else {
            return Remedy::Reload;
        };
        let last = status.history.last();
        Refused {
            needs_restart: failure.needs_restart,
            was_built: !status.timings.build.is_zero(),
            can_build: place.build(&failure.module).is_some(),
            library: last.and_then(|row| row.provenance.built_at),
            window: self.program_written,
        }
        .remedy()
    }
}

/// When this program's own file was written, as long as nothing has taken its place yet.
pub(super) fn program_written() -> Option<SystemTime> {
    let program = std::env::current_exe().ok()?;
    program.metadata().ok()?.modified().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_what_can_help_is_the_remedy() {
        let early = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        let late = SystemTime::UNIX_EPOCH + Duration::from_secs(20);
        let lay_there = Refused {
            needs_restart: true,
            was_built: false,
            can_build: true,
            library: Some(early),
            window: Some(late),
        };
        assert_eq!(lay_there.remedy(), Remedy::Rebuild);
        let newer = Refused {
            library: Some(late),
            window: Some(early),
            ..lay_there
        };
        assert_eq!(newer.remedy(), Remedy::Restart);
        // Built just now from the source that is here, and still other than the window.
        let built = Refused {
            was_built: true,
            ..lay_there
        };
        assert_eq!(built.remedy(), Remedy::Restart);
        let installed = Refused {
            can_build: false,
            ..lay_there
        };
        assert_eq!(installed.remedy(), Remedy::Reinstall);
        let broken = Refused {
            needs_restart: false,
            ..built
        };
        assert_eq!(broken.remedy(), Remedy::Reload);
    }
}
