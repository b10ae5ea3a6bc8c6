//! The warm restart: the whole window program is built beside the running one, then executed in its
//! place. The process stays the same, and so do its arguments; the broker notices nothing.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::SystemTime;

use warden_reload::{BuildEnd, Building};
use warden_view as view;

use crate::clock::unix_ms;
use crate::feed::Wake;
use crate::hot::Hot;
use crate::modules;

/// Builds and executes anew.
#[derive(Debug)]
pub struct Restart {
    /// Found at the start: a build puts another file in its place.
    program: Option<PathBuf>,
    arguments: Vec<OsString>,
    building: Option<(Building, SystemTime)>,
    /// Why the last one did not happen.
    failed: Option<view::Restart>,
}

impl Restart {
    /// Of this very program with these very arguments.
    #[must_use]
    pub fn of_this() -> Self {
        Self {
            program: std::env::current_exe().ok(),
            arguments: std::env::args_os().skip(1).collect(),
            building: None,
            failed: None,
        }
    }

    /// Begins to build everything that the window is made of.
    pub fn begin(&mut self, hot: &Hot, wake: &Wake) {
        if self.building.is_some() {
            return;
        }
        let commands = hot.place().and_then(|place| place.build_all(hot.entries()));
        let Some(commands) = commands else {
            self.fail("the source that this program was built from is not here; build and start it by hand");
            return;
        };
        let wake = wake.clone();
        match Building::start("warden-dashboard", commands, move || wake.call()) {
            Ok(building) => {
                self.failed = None;
                self.building = Some((building, SystemTime::now()));
            }
            Err(error) => self.fail(&format!("the build cannot be started: {error}")),
        }
    }

    /// Gives the build up, or takes the complaint about the last one away.
    pub fn cancel(&mut self) {
        self.building = None;
        self.failed = None;
    }

    /// True when everything is built and [`Self::execute`] can be called.
    pub fn is_ready(&mut self) -> bool {
        let Some((building, since)) = &self.building else {
            return false;
        };
        match building.ended() {
            None => return false,
            Some(BuildEnd::Done) => return true,
            Some(BuildEnd::Cancelled) => {}
            Some(BuildEnd::Failed(failure, said)) => {
                self.failed = Some(view::Restart {
                    since_ms: unix_ms(*since),
                    progress: None,
                    failure: Some(modules::failure(&failure)),
                    diagnostics: modules::diagnostics(&said),
                });
            }
        }
        self.building = None;
        false
    }

    /// Becomes the new program. Returns only where that cannot be, and says so then.
    pub fn execute(&mut self) {
        self.building = None;
        let Some(program) = &self.program else {
            self.fail("this program's own file is not known");
            return;
        };
        let error = Command::new(program).args(&self.arguments).exec();
        let path = program.display();
        self.fail(&format!("{path} cannot be executed: {error}"));
    }

    /// How it stands, for the picture.
    #[must_use]
    pub fn shown(&self) -> Option<view::Restart> {
        let Some((building, since)) = &self.building else {
            return self.failed.clone();
        };
        let progress = building.progress().as_ref().map(modules::progress);
        Some(view::Restart {
            since_ms: unix_ms(*since),
            progress: Some(progress.unwrap_or_default()),
            failure: None,
            diagnostics: [].into(),
        })
    }

    /// It does not happen, for this reason.
    pub fn fail(&mut self, said: &str) {
        self.building = None;
        let at_ms = unix_ms(SystemTime::now());
        self.failed = Some(view::Restart {
            since_ms: at_ms,
            failure: Some(view::Failure {
                stage: view::Stage::Build,
                at_ms,
                title: said.into(),
                message: said.into(),
                place: None,
            }),
            ..view::Restart::default()
        });
    }
}
