//! What the folder of configuration says, live: the window's settings, the broker's policy, and
//! themes. Each file that goes bad keeps its last good content in use and is told of.

mod save;
mod settings;
mod sheet;
mod standing;
mod themes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use warden::policy::Policy;
use warden_reload::files::{Fault, Files, Format as _, Ron};
use warden_view::{self as view, Checked, Module, Text, Theme, ThemeName, Verdict};

use crate::feed::Wake;
use crate::keep::Kept;
use save::{Saver, Written};
use sheet::{Kindred, Sheet};

pub use settings::{ClockZone, Settings, WatchMode};
use themes::Themes;

/// The window's own settings.
const SETTINGS: Kindred<Settings> = Kindred {
    name: "settings.ron",
    title: "Window",
    own: true,
    note: "",
    validate: Settings::validate,
};

/// The rules that the broker goes by.
const POLICY: Kindred<Policy> = Kindred {
    name: "policy.ron",
    title: "Policy",
    own: false,
    note: "The broker takes a saved policy by itself. A lowered limit ends no lease.",
    validate: check_policy,
};

fn check_policy(policy: &Policy) -> Result<(), Vec<(String, String)>> {
    policy.validate().map_err(|errors| {
        let pair = |error: warden::policy::PolicyError| (error.key, error.problem);
        errors.into_iter().map(pair).collect()
    })
}

/// See the module.
#[derive(Debug)]
pub struct Config {
    settings: Sheet<Settings>,
    policy: Sheet<Policy>,
    themes: Themes,
    /// The theme in use, as the settings have it.
    theme: Arc<Theme>,
    /// The settings that the window has followed last.
    followed: Arc<Settings>,
    /// The theme that the settings name and that is not there.
    missing: Option<String>,
    zoom: Zoom,
    saver: Saver,
    checked: Option<Checked>,
}

/// How large everything is drawn.
#[derive(Clone, Copy, Debug)]
struct Zoom {
    /// As was asked for here; egui does it a pass later.
    asked: f32,
    /// As egui had it last.
    seen: f32,
}

/// What has changed since this was asked last.
#[derive(Debug, Default)]
pub struct Changed {
    /// The theme in use, or which there are.
    pub themes: bool,
    /// How large everything is to be drawn from now on.
    pub zoom: Option<f32>,
    /// What happens from now on when a build of the drawing code changes by itself.
    pub watch: Option<WatchMode>,
    /// Whose time of day is shown.
    pub clock: bool,
    /// What could not be saved, and why.
    pub unsaved: Vec<(String, String)>,
}

/// What holds in the window and in the broker.
#[derive(Clone, Debug)]
pub struct Live<'a> {
    /// How large everything is drawn.
    pub zoom: f32,
    /// Nothing moves by itself.
    pub reduced_motion: bool,
    /// The broker's rules, while it answers.
    pub policy: Option<&'a Policy>,
}

impl Config {
    /// Reads what is in this folder and follows it from then on. What the window showed last holds
    /// where the folder does not say.
    #[must_use]
    pub fn open(directory: Option<&Path>, kept: &Kept, wake: &Wake) -> Self {
        let files = Files::start();
        let initial = Settings {
            theme: kept.theme.clone(),
            zoom: kept.zoom,
            ..Settings::default()
        };
        let format = Ron::<Settings>::new().keyed().validated(Settings::validate);
        let settings = Sheet::open(SETTINGS, &files, directory, initial, format, wake);
        let format = Ron::<Policy>::new()
            .keyed()
            .validated(check_policy)
            .trusted();
        let policy = Policy::default();
        let policy = Sheet::open(POLICY, &files, directory, policy, format, wake);
        let mut themes = match directory {
            Some(directory) => Themes::open(&files, &directory.join("themes"), wake),
            None => Themes::shipped(),
        };
        let followed = settings.get();
        let known = themes.choose(&followed.theme);
        Self {
            theme: Arc::new(followed.shape(themes.current())),
            missing: (!known).then(|| followed.theme.clone()),
            zoom: Zoom {
                asked: followed.zoom,
                seen: 1.0,
            },
            settings,
            policy,
            themes,
            followed,
            saver: Saver::start(wake.clone()),
            checked: None,
        }
    }

    /// The settings that hold.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.followed
    }

    /// The theme in use, as the settings have it.
    #[must_use]
    pub fn theme(&self) -> &Arc<Theme> {
        &self.theme
    }

    /// Its id.
    #[must_use]
    pub fn theme_id(&self) -> &Text {
        self.themes.id()
    }

    /// The themes to choose from.
    #[must_use]
    pub fn theme_names(&self) -> Arc<[ThemeName]> {
        self.themes.names()
    }

    /// Whether every setting that was chosen here is in its file, or was refused.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        self.saver.is_idle()
    }

    /// Takes in what has changed on the disk.
    pub fn take(&mut self) -> Changed {
        let mut changed = Changed {
            themes: self.themes.take(),
            ..Changed::default()
        };
        for written in self.saver.take() {
            changed.unsaved.extend(self.written(written));
        }
        let settings = self.settings.get();
        // What was chosen here and is still being written is newer than the file.
        if self.saver.is_idle() && !Arc::ptr_eq(&settings, &self.followed) {
            self.follow(settings, &mut changed);
        }
        if let Some(wanted) = &self.missing
            && self.themes.choose(wanted)
        {
            self.missing = None;
            changed.themes = true;
        }
        if changed.themes {
            self.shape();
        }
        changed
    }

    fn follow(&mut self, settings: Arc<Settings>, changed: &mut Changed) {
        let former = std::mem::replace(&mut self.followed, Arc::clone(&settings));
        if former.theme != settings.theme {
            self.missing = Some(settings.theme.clone());
        }
        changed.themes |= former.rows != settings.rows;
        changed.clock = former.clock != settings.clock;
        if self.zoom.asked.to_bits() != settings.zoom.to_bits() {
            self.zoom.asked = settings.zoom;
            changed.zoom = Some(settings.zoom);
        }
        changed.watch = (former.watch != settings.watch).then_some(settings.watch);
    }

    fn shape(&mut self) {
        self.theme = Arc::new(self.followed.shape(self.themes.current()));
    }

    fn written(&mut self, written: Written) -> Option<(String, String)> {
        let Written {
            file,
            key,
            value,
            outcome,
        } = written;
        let (verdict, unsaved) = match outcome {
            Ok(()) => (Verdict::Saved, None),
            Err(said) => {
                let title = format!("Save {key} in {file}");
                (Verdict::Wrong(said.as_str().into()), Some((title, said)))
            }
        };
        self.checked = Some(Checked {
            file,
            key,
            text: value,
            verdict,
        });
        unsaved
    }

    /// Looks at every file again now.
    pub fn reload(&mut self) {
        self.settings.reload();
        self.policy.reload();
        self.themes.reload();
    }

    /// Looks at one file again now, by its module's name; true where it is one of these.
    pub fn reload_one(&mut self, module: &str) -> bool {
        if module == SETTINGS.name {
            self.settings.reload();
        } else if module == POLICY.name {
            self.policy.reload();
        } else {
            return self.themes.reload_one(module);
        }
        true
    }

    /// Uses the theme that is called so, by its id or its name, for this run, whatever the settings
    /// say.
    ///
    /// # Errors
    /// Where there is none; it says which there are.
    pub fn use_theme_called(&mut self, name: &str) -> Result<(), String> {
        match self.themes.called(name) {
            Some(id) if self.use_theme(&id) => Ok(()),
            _ => Err(format!(
                "there is no theme {name}; there are {}",
                self.themes.ids().join(", ")
            )),
        }
    }

    fn use_theme(&mut self, id: &str) -> bool {
        let known = self.themes.choose(id);
        if known {
            self.missing = None;
            self.shape();
        }
        known
    }

    /// Uses this theme from now on.
    ///
    /// # Errors
    /// Where there is none of that id, or it cannot be saved.
    pub fn choose_theme(&mut self, id: &str) -> Result<(), String> {
        if !self.use_theme(id) {
            return Err(format!("there is no theme {id}"));
        }
        self.remember("theme", id)
    }

    /// The theme after the one in use.
    #[must_use]
    pub fn next_theme(&self) -> Text {
        self.themes.next()
    }

    /// Takes note of how large everything is drawn: the operator has keys for it.
    ///
    /// # Errors
    /// Where it cannot be saved.
    pub fn zoomed(&mut self, factor: f32) -> Result<(), String> {
        let seen = std::mem::replace(&mut self.zoom.seen, factor);
        let same = |other: f32| other.to_bits() == factor.to_bits();
        if same(seen) || same(self.zoom.asked) {
            return Ok(());
        }
        self.zoom.asked = factor;
        self.remember("zoom", &factor.to_string())
    }

    /// Saves what was chosen in the window, where there is a place for it.
    fn remember(&mut self, key: &str, value: &str) -> Result<(), String> {
        if self.settings.file().is_none() {
            return Ok(());
        }
        self.set(SETTINGS.name, key, value)
    }

    /// Says in [`Self::shown`] whether a setting could have this value.
    pub fn check(&mut self, file: &str, key: &str, value: &str) {
        let edited = match file {
            _ if file == SETTINGS.name => self.settings.edited(key, value).map(drop),
            _ if file == POLICY.name => self.policy.edited(key, value).map(drop),
            _ => Err(format!("there is no file {file}")),
        };
        self.checked = Some(Checked {
            file: file.into(),
            key: key.into(),
            text: value.into(),
            verdict: match edited {
                Ok(()) => Verdict::Fine,
                Err(said) => Verdict::Wrong(said.into()),
            },
        });
    }

    /// Gives a setting this value and saves its file. What comes of it is in [`Self::shown`].
    ///
    /// # Errors
    /// Where it cannot have this value, or saving cannot even be tried.
    pub fn set(&mut self, file: &str, key: &str, value: &str) -> Result<(), String> {
        self.check(file, key, value);
        let Some(checked) = &mut self.checked else {
            return Ok(());
        };
        if let Verdict::Wrong(said) = &checked.verdict {
            return Err(said.to_string());
        }
        let job = match file {
            _ if file == SETTINGS.name => self.settings.job(key, value),
            _ => self.policy.job(key, value),
        };
        let asked = job.and_then(|job| self.saver.write(file, key, value, job));
        checked.verdict = match &asked {
            Ok(()) => Verdict::Saving,
            Err(said) => Verdict::Wrong(said.as_str().into()),
        };
        asked
    }

    /// The file behind a module's name or a theme's id, made where there is none.
    ///
    /// # Errors
    /// Where there is no such file and it cannot be made.
    pub fn make(&self, module: &str) -> Result<PathBuf, String> {
        match module {
            _ if module == SETTINGS.name => self.settings.make(),
            _ if module == POLICY.name => self.policy.make(),
            _ => self.themes.make(module),
        }
    }

    /// How the files stand, as what can be reloaded.
    pub fn modules(&self) -> impl Iterator<Item = Module> {
        let own = [self.settings.module(), self.policy.module()];
        own.into_iter().flatten().chain(self.themes.modules())
    }

    /// What is wrong with the files, by module: the newest fault is not known, so in their order.
    #[must_use]
    pub fn faults(&self) -> Vec<(Text, Fault)> {
        let own = [self.settings.fault(), self.policy.fault()];
        own.into_iter()
            .flatten()
            .chain(self.themes.faults())
            .collect()
    }

    /// Everything that can be set, beside what holds.
    pub fn shown(&mut self, live: &Live<'_>) -> view::Settings {
        let holds = Settings {
            theme: self.themes.id().to_string(),
            zoom: live.zoom,
            reduced_motion: live.reduced_motion,
            ..(*self.followed).clone()
        };
        let names = self.themes.ids();
        view::Settings {
            files: Arc::new([
                self.settings.shown(Some(&holds), &names),
                self.policy.shown(live.policy, &names),
            ]),
            checked: self.checked.clone(),
        }
    }
}
