//! A file of settings whose keys its type describes: as rows of the settings panel, and with one key
//! changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use warden_reload::files::{Fault, Files, Format, HotFile, Subscription};
use warden_reload::keys::{self, Key, Kind};
use warden_view::{Form, Module, ModuleKind, Setting, SettingsFile, Text};

use super::save::Job;
use super::standing;
use crate::feed::Wake;

/// Checks the rules between keys; each problem names its key.
pub type Validate<T> = fn(&T) -> Result<(), Vec<(String, String)>>;

/// What such a file can be read into.
pub trait Keyed:
    JsonSchema + Serialize + DeserializeOwned + Default + Clone + PartialEq + Send + Sync + 'static
{
}

impl<T> Keyed for T where
    T: JsonSchema
        + Serialize
        + DeserializeOwned
        + Default
        + Clone
        + PartialEq
        + Send
        + Sync
        + 'static
{
}

/// How a file is called, and what may be in it.
#[derive(Clone, Copy, Debug)]
pub struct Kindred<T> {
    /// Its name in the folder of configuration, which is also its module's.
    pub name: &'static str,
    /// Whose settings these are, in a word.
    pub title: &'static str,
    /// They are the window's own.
    pub own: bool,
    /// What is to be known about it.
    pub note: &'static str,
    /// The rules between keys.
    pub validate: Validate<T>,
}

/// See the module.
#[derive(Debug)]
pub struct Sheet<T> {
    kindred: Kindred<T>,
    file: Option<HotFile<T>>,
    path: Option<PathBuf>,
    /// What holds where there is no folder of configuration.
    initial: Arc<T>,
    keys: Vec<Key>,
    shown: Option<Made<T>>,
    _calls: Option<Subscription>,
}

/// The rows as they were made last, and of what.
#[derive(Debug)]
struct Made<T> {
    value: Arc<T>,
    live: Option<T>,
    choices: Arc<[Text]>,
    locked: Text,
    file: SettingsFile,
}

impl<T: Keyed> Sheet<T> {
    /// The file in this folder, read as `format` does. `initial` holds without one, and until it says
    /// something.
    pub fn open(
        kindred: Kindred<T>,
        files: &Files,
        directory: Option<&Path>,
        initial: T,
        format: impl Format<Value = T>,
        wake: &Wake,
    ) -> Self {
        let path = directory.map(|directory| directory.join(kindred.name));
        let file = path
            .as_ref()
            .map(|path| files.open_or(path, initial.clone(), initial.clone(), format));
        let calls = file.as_ref().map(|file| {
            let wake = wake.clone();
            file.on_state(move |_| wake.call())
        });
        Self {
            kindred,
            file,
            path,
            initial: Arc::new(initial),
            keys: keys::keys_of::<T>(),
            shown: None,
            _calls: calls,
        }
    }

    /// What holds.
    pub fn get(&self) -> Arc<T> {
        match &self.file {
            Some(file) => file.get(),
            None => Arc::clone(&self.initial),
        }
    }

    /// The file, where there is a folder for it.
    pub fn file(&self) -> Option<&HotFile<T>> {
        self.file.as_ref()
    }

    /// What holds, with one key changed, if that may be.
    ///
    /// # Errors
    /// What is wrong with it, for the operator.
    pub fn edited(&self, key: &str, typed: &str) -> Result<T, String> {
        edited(&*self.get(), key, typed, self.kindred.validate)
    }

    /// Looks at it again now.
    pub fn reload(&self) {
        if let Some(file) = &self.file {
            // What is wrong with it is in its state.
            let _ = file.force_reload();
        }
    }

    /// What is wrong with it, by its module's name.
    pub fn fault(&self) -> Option<(Text, Fault)> {
        let fault = self.file.as_ref()?.state().fault.clone()?;
        Some((self.kindred.name.into(), fault))
    }

    /// The work of changing one key, for another thread.
    ///
    /// # Errors
    /// Where there is no folder of configuration.
    pub fn job(&self, key: &str, typed: &str) -> Result<Job, String> {
        let (Some(file), Some(path)) = (self.file.clone(), self.path.clone()) else {
            return Err(NOWHERE.to_owned());
        };
        let (key, typed, validate) = (key.to_owned(), typed.to_owned(), self.kindred.validate);
        Ok(Box::new(move || {
            // Somebody else may have saved another key a moment ago.
            file.force_reload().map_err(|fault| {
                format!("{fault}; mend the file first, so that nothing of it is lost")
            })?;
            let changed = edited(&*file.get(), &key, &typed, validate)?;
            make_folder(&path)?;
            keys::save_ron(&path, &changed).map_err(|error| error.to_string())?;
            file.force_reload().map_err(|fault| fault.to_string())?;
            Ok(())
        }))
    }

    /// Makes the file with what holds now, where there is none.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn make(&self) -> Result<PathBuf, String> {
        let path = self.path.clone().ok_or(NOWHERE)?;
        if path.symlink_metadata().is_err() {
            make_folder(&path)?;
            keys::save_ron(&path, &*self.get()).map_err(|error| error.to_string())?;
        }
        Ok(path)
    }

    /// How it stands, as what can be reloaded.
    pub fn module(&self) -> Option<Module> {
        let path = self.path.as_ref()?;
        let state = self.file.as_ref()?.state();
        Some(standing::module(
            self.kindred.name,
            ModuleKind::Settings,
            path,
            &state,
        ))
    }

    /// Its rows: what it says beside what holds. `choices` are those of the key `theme`, which no
    /// type knows.
    pub fn shown(&mut self, live: Option<&T>, choices: &Arc<[Text]>) -> SettingsFile {
        let value = self.get();
        let (locked, note) = (self.locked(), self.note());
        let same = self.shown.as_ref().filter(|made| {
            Arc::ptr_eq(&made.value, &value)
                && made.live.as_ref() == live
                && made.choices == *choices
                && made.locked == locked
                && made.file.note == note
        });
        if let Some(made) = same {
            return made.file.clone();
        }
        let path = self.path.as_deref();
        let file = SettingsFile {
            name: self.kindred.name.into(),
            title: self.kindred.title.into(),
            own: self.kindred.own,
            path: path.map_or_else(Text::default, |path| path.display().to_string().into()),
            note: note.clone(),
            locked: locked.clone(),
            keys: self.rows(&value, live, choices),
        };
        self.shown = Some(Made {
            value,
            live: live.cloned(),
            choices: Arc::clone(choices),
            locked,
            file: file.clone(),
        });
        file
    }

    /// What is to be known about it.
    fn note(&self) -> Text {
        let state = self.file.as_ref().map(HotFile::state);
        let noticed = state.map(|state| standing::noticed(&state));
        let said = [self.kindred.note.to_owned(), noticed.unwrap_or_default()];
        let said: Vec<String> = said.into_iter().filter(|said| !said.is_empty()).collect();
        said.join(" ").into()
    }

    /// Why nothing can be changed here.
    fn locked(&self) -> Text {
        let Some(file) = &self.file else {
            return NOWHERE.into();
        };
        match &file.state().fault {
            Some(fault) => format!(
                "{fault}\nWhat held before goes on. Mend the file, and its keys can be changed here again."
            )
            .into(),
            None => Text::default(),
        }
    }

    fn rows(&self, value: &T, live: Option<&T>, choices: &Arc<[Text]>) -> Arc<[Setting]> {
        // Keys of a table's entries are told with the table.
        let rows = self.keys.iter().filter(|key| !key.name.contains('*'));
        rows.map(|key| {
            let said = |value: &T| shown(key, keys::value_of(value, &key.name));
            Setting {
                key: key.name.as_str().into(),
                meaning: key.meaning.as_str().into(),
                form: match &key.kind {
                    Kind::Switch => Form::Flag,
                    Kind::Choice(of) => {
                        Form::Choice(of.iter().map(|one| one.word.as_str().into()).collect())
                    }
                    Kind::Text if key.name == THEME => Form::Choice(Arc::clone(choices)),
                    _ => Form::Typed,
                },
                value: said(value),
                live: live.map(said),
                default: shown(key, key.default.clone()),
                range: self.range(key).into(),
                unit: key.unit.as_deref().unwrap_or_default().into(),
            }
        })
        .collect()
    }

    /// What a key may be, in words. What can be chosen from stands there already.
    fn range(&self, key: &Key) -> String {
        match &key.kind {
            Kind::Choice(_) | Kind::Switch => String::new(),
            Kind::Text if key.name == THEME => String::new(),
            Kind::Table(_) => {
                let prefix = format!("{}.*", key.name);
                let inner = self.keys.iter().filter(|one| one.name.starts_with(&prefix));
                let said = inner.filter_map(|one| {
                    let name = one.name[prefix.len()..].trim_start_matches('.');
                    let unit = one.unit.as_deref().unwrap_or_default();
                    let said = format!("{name} {} {unit}", one.allowed()?);
                    Some(said.trim().to_owned())
                });
                said.collect::<Vec<_>>().join(", ")
            }
            _ => key.allowed().unwrap_or_default(),
        }
    }
}

/// The key whose choices are files.
const THEME: &str = "theme";

const NOWHERE: &str = "No folder of configuration is known, so nothing can be saved; start the \
                       window with --config-dir DIR.";

fn edited<T: Keyed>(value: &T, key: &str, typed: &str, validate: Validate<T>) -> Result<T, String> {
    let changed = keys::edited(value, key, typed).map_err(|error| error.problem)?;
    validate(&changed).map_err(|problems| {
        let told = problems.into_iter().map(|(of, problem)| match of == key {
            true => problem,
            false => format!("{of} {problem}"),
        });
        told.collect::<Vec<_>>().join("; ")
    })?;
    Ok(changed)
}

/// A value as people read it: text without its quotes.
fn shown(key: &Key, value: Option<String>) -> Text {
    let value = value.unwrap_or_default();
    match &key.kind {
        Kind::Text => ron::from_str::<String>(&value).unwrap_or(value).into(),
        _ => value.into(),
    }
}

fn make_folder(path: &Path) -> Result<(), String> {
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    std::fs::create_dir_all(folder).map_err(|error| {
        let folder = folder.display();
        format!("the folder {folder} cannot be made: {error}")
    })
}
