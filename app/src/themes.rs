//! The themes to choose from: those that ship, and over them the operator's own files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use warden_view::{
    Failure, Module, ModuleKind, ModuleState, SHIPPED, Stage, Text, Theme, ThemeName,
};

use crate::clock::unix_ms;

/// The longest theme file that is read, in bytes.
const MAX_LEN: u64 = 256 * 1024;

/// Every theme, and which one is in use.
#[derive(Debug)]
pub struct Themes {
    /// Where the operator's own are.
    directory: Option<PathBuf>,
    known: Vec<Known>,
    current: usize,
    generation: u32,
}

#[derive(Debug)]
struct Known {
    id: Text,
    theme: Arc<Theme>,
    /// None: it ships.
    file: Option<PathBuf>,
    /// Why the file's newest content is not in use.
    failure: Option<Failure>,
}

impl Themes {
    /// Reads what is there. Broken files are told of by [`Self::modules`].
    #[must_use]
    pub fn load(config_dir: Option<&Path>) -> Self {
        let shipped = SHIPPED.iter().filter_map(|(id, text)| {
            let theme = Theme::parse(text).ok().map(Arc::new)?;
            Some(Known {
                id: (*id).into(),
                theme,
                file: None,
                failure: None,
            })
        });
        let directory = config_dir.map(|directory| directory.join("themes"));
        let mut themes = Self {
            directory,
            known: shipped.collect(),
            current: 0,
            generation: 1,
        };
        themes.read();
        themes
    }

    /// Counts what was read and differed from what was there.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Reads the operator's files anew. One that is broken leaves its last good content in use.
    pub fn read(&mut self) {
        let Some(directory) = &self.directory else {
            return;
        };
        let Ok(entries) = fs::read_dir(directory) else {
            return;
        };
        let mut files: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "ron"))
            .collect();
        files.sort();
        for file in files {
            self.read_file(file);
        }
    }

    fn read_file(&mut self, file: PathBuf) {
        let Some(id) = file
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
        else {
            return;
        };
        let place = self.known.iter().position(|known| *known.id == *id);
        match (parse(&file), place) {
            (Ok(theme), Some(place)) => {
                let known = &mut self.known[place];
                if *known.theme != theme {
                    known.theme = Arc::new(theme);
                    self.generation += 1;
                }
                known.failure = None;
                known.file = Some(file);
            }
            (Ok(theme), None) => {
                let theme = Arc::new(theme);
                self.generation += 1;
                self.known.push(Known {
                    id: id.into(),
                    theme,
                    file: Some(file),
                    failure: None,
                });
            }
            (Err(failure), Some(place)) => {
                self.known[place].failure = Some(failure);
                self.known[place].file = Some(file);
            }
            (Err(failure), None) => {
                // It stands in the list, so that its message has a place, and looks like NERV.
                let theme = Arc::clone(&self.known[0].theme);
                let failure = Some(failure);
                self.known.push(Known {
                    id: id.into(),
                    theme,
                    file: Some(file),
                    failure,
                });
            }
        }
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

    /// Takes another theme; false when there is none of that id.
    pub fn choose(&mut self, id: &str) -> bool {
        let place = self.known.iter().position(|known| *known.id == *id);
        self.current = place.unwrap_or(self.current);
        place.is_some()
    }

    /// Takes the next one.
    pub fn next(&mut self) {
        self.current = (self.current + 1) % self.known.len();
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
            let file = known.file.as_ref()?;
            Some(Module {
                name: known.id.clone(),
                kind: ModuleKind::Theme,
                state: if known.failure.is_some() {
                    ModuleState::Failed
                } else {
                    ModuleState::Live
                },
                generation: self.generation,
                loaded: self.generation,
                artifact: file.display().to_string().into(),
                failure: known.failure.clone(),
                ..Module::default()
            })
        })
    }
}

fn parse(file: &Path) -> Result<Theme, Failure> {
    let name = file.display().to_string();
    let failure = |title: String, place: Option<(u32, u32)>| Failure {
        stage: Stage::Build,
        at_ms: unix_ms(SystemTime::now()),
        message: format!("{name}\n{title}").into(),
        title: title.into(),
        place: place.map(|(line, column)| (Text::from(name.as_str()), line, column)),
    };
    let unreadable =
        |error: std::io::Error| failure(format!("the theme cannot be read: {error}"), None);
    let len = fs::metadata(file).map_err(unreadable)?.len();
    if len > MAX_LEN {
        return Err(failure(
            format!("the theme is of {len} bytes; {MAX_LEN} are read"),
            None,
        ));
    }
    let text = fs::read_to_string(file).map_err(unreadable)?;
    Theme::parse(&text).map_err(|error| {
        failure(
            format!("the theme is broken: {error}"),
            Some((error.line, error.column)),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_leaves_the_last_good_content_in_use_and_says_where_it_is_broken() {
        let config = tempfile::tempdir().unwrap();
        let directory = config.path().join("themes");
        fs::create_dir(&directory).unwrap();
        let file = directory.join("mine.ron");
        fs::write(&file, SHIPPED[1].1).unwrap();
        fs::write(directory.join("nerv.ron"), "(").unwrap();
        let mut themes = Themes::load(Some(config.path()));
        assert!(themes.choose("mine"));
        let good = Arc::clone(themes.current());

        fs::write(&file, SHIPPED[1].1.replacen("colours", "colors", 1)).unwrap();
        themes.read();
        assert_eq!(themes.current(), &good);
        let failed: Vec<Module> = themes
            .modules()
            .filter(|module| module.state == ModuleState::Failed)
            .collect();
        assert_eq!(
            failed.len(),
            2,
            "nerv.ron is broken too, and the shipped one is in use"
        );
        let mine = failed
            .iter()
            .find(|module| &*module.name == "mine")
            .unwrap();
        let (name, line, _) = mine.failure.as_ref().unwrap().place.clone().unwrap();
        assert!(name.ends_with("mine.ron") && line > 0);

        fs::write(&file, SHIPPED[0].1).unwrap();
        themes.read();
        assert_ne!(themes.current(), &good);
        assert!(!themes.choose("no such theme"));
        assert_eq!(&**themes.id(), "mine");
    }

    #[test]
    fn the_key_steps_through_all_of_them() {
        let mut themes = Themes::load(None);
        let first = themes.id().clone();
        let mut seen = 0;
        loop {
            themes.next();
            seen += 1;
            if *themes.id() == first {
                break;
            }
        }
        assert_eq!(seen, SHIPPED.len());
    }
}
