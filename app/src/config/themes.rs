//! The themes to choose from: those that ship, and over them the operator's own files, live.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use warden_reload::files::{Fault, Files, Format as _, HotFile, Listing, Ron, Subscription};
use warden_reload::save;
use warden_view::{Module, ModuleKind, SHIPPED, Text, Theme, ThemeName};

use super::standing;
use crate::feed::Wake;

/// The longest theme file that is read, in bytes.
const MAX_LEN: u64 = 256 * 1024;
/// More than these are not offered.
const MAX_KNOWN: usize = 100;

/// Every theme, and which one is in use.
#[derive(Debug)]
pub struct Themes {
    /// Where the operator's own are.
    own: Option<Own>,
    known: Vec<Known>,
    current: usize,
}

#[derive(Debug)]
struct Own {
    folder: HotFile<Listing>,
    /// The listing whose files are opened.
    opened: Arc<Listing>,
    files: Files,
    wake: Wake,
    _calls: Subscription,
}

#[derive(Debug)]
struct Known {
    id: Text,
    /// What ships under this name.
    shipped: Option<Arc<Theme>>,
    /// The operator's file.
    own: Option<OwnFile>,
    /// What is in use: the last good content.
    theme: Arc<Theme>,
}

#[derive(Debug)]
struct OwnFile {
    file: HotFile<Theme>,
    _calls: Subscription,
}

impl Themes {
    /// Those that ship alone.
    #[must_use]
    pub fn shipped() -> Self {
        let shipped = SHIPPED.iter().filter_map(|(id, text)| {
            let theme = Theme::parse(text).ok().map(Arc::new)?;
            Some(Known {
                id: (*id).into(),
                shipped: Some(Arc::clone(&theme)),
                own: None,
                theme,
            })
        });
        Self {
            own: None,
            known: shipped.collect(),
            current: 0,
        }
    }

    /// Those that ship, and over them the files of this folder. It need not be there.
    #[must_use]
    pub fn open(files: &Files, folder: &Path, wake: &Wake) -> Self {
        let mut themes = Self::shipped();
        let folder = files.open_folder(folder, "ron");
        let notice = wake.clone();
        themes.own = Some(Own {
            _calls: folder.on_state(move |_| notice.call()),
            opened: Arc::default(),
            folder,
            files: files.clone(),
            wake: wake.clone(),
        });
        themes.take();
        themes
    }

    /// Takes in what has changed; true when that is anything of what is shown.
    pub fn take(&mut self) -> bool {
        let mut changed = self.find();
        let current = self.current;
        let mut gone = Vec::new();
        for (at, known) in self.known.iter_mut().enumerate() {
            let Some(own) = &known.own else { continue };
            let (value, state) = own.file.snapshot();
            // A file that is gone is missed by whoever uses it; to others it never was.
            if !state.present && at != current {
                gone.push(at);
            } else if state.generation > 0 && !Arc::ptr_eq(&known.theme, &value) {
                known.theme = value;
                changed = true;
            }
        }
        for at in gone.into_iter().rev() {
            changed |= self.forget(at);
        }
        changed
    }

    /// Looks at every file again now.
    pub fn reload(&mut self) {
        if let Some(own) = &self.own {
            // Without a folder there is nothing to be found.
            let _ = own.folder.force_reload();
        }
        self.find();
        for known in &self.known {
            if let Some(own) = &known.own {
                // What is wrong with it is in its state.
                let _ = own.file.force_reload();
            }
        }
    }

    /// Opens the files that are new in the folder; true where there were any of a new name.
    fn find(&mut self) -> bool {
        let Some(own) = &mut self.own else {
            return false;
        };
        let listing = own.folder.get();
        if Arc::ptr_eq(&listing, &own.opened) {
            return false;
        }
        own.opened = Arc::clone(&listing);
        let before = self.known.len();
        for path in listing.keys() {
            if self.known.len() >= MAX_KNOWN {
                tracing::warn!(path = %path.display(), "too many themes; this one is left out");
                break;
            }
            let Some(id) = path.file_stem().and_then(|stem| stem.to_str()) else {
                continue;
            };
            let place = self.known.iter().position(|known| *known.id == *id);
            if place.is_some_and(|place| self.known[place].own.is_some()) {
                continue;
            }
            // Until a file of another name is good, it looks like the first theme.
            let initial = place.unwrap_or(0);
            let theme = Arc::clone(&self.known[initial].theme);
            let opened = own.open(path.clone(), &theme);
            match place {
                Some(place) => self.known[place].own = Some(opened),
                None => self.known.push(Known {
                    id: id.into(),
                    shipped: None,
                    own: Some(opened),
                    theme,
                }),
            }
        }
        self.known.len() > before
    }

    /// Forgets the operator's file: what ships under its name is in use again, or nothing.
    fn forget(&mut self, at: usize) -> bool {
        let known = &mut self.known[at];
        known.own = None;
        if let Some(shipped) = &known.shipped {
            known.theme = Arc::clone(shipped);
            return true;
        }
        self.known.remove(at);
        if self.current > at {
            self.current -= 1;
        }
        true
    }

    /// The theme in use.
    #[must_use]
    pub fn current(&self) -> &Arc<Theme> {
        &self.known[self.current].theme
    }

    /// The id of the theme in use.
    #[must_use]
    pub fn id(&self) -> &Text {
        &self.known[self.current].id
    }

    /// The id of the theme that a person calls so: by its id, else by the name that it shows, in
    /// whatever case.
    #[must_use]
    pub fn called(&self, name: &str) -> Option<Text> {
        let of_id = |known: &&Known| *known.id == *name;
        let like = |known: &&Known| {
            known.id.eq_ignore_ascii_case(name) || known.theme.name.eq_ignore_ascii_case(name)
        };
        let known = self.known.iter();
        let found = known
            .clone()
            .find(of_id)
            .or_else(|| known.clone().find(like))?;
        Some(found.id.clone())
    }

    /// Takes another theme; false when there is none of that id.
    pub fn choose(&mut self, id: &str) -> bool {
        let place = self.known.iter().position(|known| *known.id == *id);
        self.current = place.unwrap_or(self.current);
        place.is_some()
    }

    /// The one after that in use.
    #[must_use]
    pub fn next(&self) -> Text {
        self.known[(self.current + 1) % self.known.len()].id.clone()
    }

    /// The ids of all of them.
    #[must_use]
    pub fn ids(&self) -> Arc<[Text]> {
        self.known.iter().map(|known| known.id.clone()).collect()
    }

    /// What there is to choose from.
    #[must_use]
    pub fn names(&self) -> Arc<[ThemeName]> {
        let name = |known: &Known| ThemeName {
            id: known.id.clone(),
            name: known.theme.name.as_str().into(),
        };
        self.known.iter().map(name).collect()
    }

    /// How the operator's own files stand.
    pub fn modules(&self) -> impl Iterator<Item = Module> {
        self.known.iter().filter_map(|known| {
            let file = &known.own.as_ref()?.file;
            let name = module_name(&known.id);
            let state = file.state();
            Some(standing::module(
                &name,
                ModuleKind::Theme,
                file.path(),
                &state,
            ))
        })
    }

    /// What is wrong with them.
    pub fn faults(&self) -> impl Iterator<Item = (Text, Fault)> {
        self.known.iter().filter_map(|known| {
            let state = known.own.as_ref()?.file.state();
            let fault = state.fault.clone()?;
            Some((module_name(&known.id).into(), fault))
        })
    }

    /// Reads one of the files again now, by its module's name; true where that is one of them.
    pub fn reload_one(&self, module: &str) -> bool {
        let own = self.known.iter().find_map(|known| {
            let own = known.own.as_ref()?;
            (module_name(&known.id) == module).then_some(own)
        });
        if let Some(own) = own {
            // What is wrong with it is in its state.
            let _ = own.file.force_reload();
        }
        own.is_some()
    }

    /// The file of a theme, by its module's name or its id; made from what ships where there is
    /// none.
    ///
    /// # Errors
    /// Where there is no such theme, or the file cannot be made.
    pub fn make(&self, module: &str) -> Result<PathBuf, String> {
        let same = |known: &&Known| *known.id == *module || module_name(&known.id) == module;
        let known = self.known.iter().find(same);
        let known = known.ok_or_else(|| format!("there is no theme {module}"))?;
        if let Some(own) = &known.own {
            return Ok(own.file.path().to_owned());
        }
        let own = self.own.as_ref().ok_or(
            "no folder of configuration is known to put it in; start the window with \
             --config-dir DIR",
        )?;
        let shipped = SHIPPED.iter().find(|(id, _)| *id == &*known.id);
        let (id, text) = shipped.ok_or_else(|| format!("{module} has no file"))?;
        let folder = own.folder.path();
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("the folder {} cannot be made: {error}", folder.display()))?;
        let path = folder.join(format!("{id}.ron"));
        save::replace(&path, text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(path)
    }
}

impl Own {
    fn open(&self, path: PathBuf, initial: &Theme) -> OwnFile {
        let format = Ron::<Theme>::new().at_most(MAX_LEN);
        let file = self.files.open(path, initial.clone(), format);
        let wake = self.wake.clone();
        let calls = file.on_state(move |_| wake.call());
        OwnFile {
            file,
            _calls: calls,
        }
    }
}

/// What a theme's file is called among what can be reloaded.
fn module_name(id: &str) -> String {
    format!("themes/{id}.ron")
}
