//! What the window remembers over its runs: one file in the data directory of the broker that it
//! shows, written whole or not at all, so that two windows never leave half of each.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use warden_toolkit::egui;
use warden_view::UiMemory;

const FILE: &str = "window.ron";
/// A file that cannot be read is moved there, never deleted.
const BROKEN: &str = "window.ron.broken";
/// The longest file that is read, in bytes.
const MAX_LEN: u64 = 4 * 1024 * 1024;

/// What is remembered. Every field has a default, so that older and newer files are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// The window's size, in points.
    pub size: (f32, f32),
    /// 1 for none.
    pub zoom: f32,
    /// The theme's id.
    pub theme: String,
    /// What the drawing code remembers.
    pub memory: UiMemory,
    /// What each hot module remembers beside that, as RON, by its name.
    pub modules: BTreeMap<String, String>,
    /// What only the next start takes up: a warm restart leaves it.
    pub resume: Option<Resume>,
}

/// Where a window goes on that was restarted while somebody worked in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resume {
    /// Where the window stood, in the units of its size.
    pub position: Option<(f32, f32)>,
    /// What egui remembers, as RON: scroll positions, carets, what is unfolded.
    pub egui: String,
    /// What has the focus.
    pub focus: Option<egui::Id>,
}

impl Default for Kept {
    fn default() -> Self {
        let size = (1280.0, 800.0);
        Self {
            size,
            zoom: 1.0,
            theme: "nerv".to_owned(),
            memory: UiMemory::default(),
            modules: BTreeMap::new(),
            resume: None,
        }
    }
}

impl Kept {
    /// Reads what was remembered for this data directory; the defaults where nothing was. A broken
    /// file is set aside and told of.
    #[must_use]
    pub fn read(data_dir: &Path) -> (Self, Option<String>) {
        let path = data_dir.join(FILE);
        let text = match fs::metadata(&path).map(|meta| meta.len()) {
            Ok(len) if len > MAX_LEN => Err(io::Error::other(format!("it is of {len} bytes"))),
            Ok(_) => fs::read_to_string(&path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Default::default(),
            Err(error) => Err(error),
        };
        let read = text
            .map_err(|error| error.to_string())
            .and_then(|text| ron::from_str::<Self>(&text).map_err(|error| error.to_string()));
        match read {
            Ok(kept) => (kept.sane(), None),
            Err(error) => {
                let aside = data_dir.join(BROKEN);
                let moved = match fs::rename(&path, &aside) {
                    Ok(()) => format!("it was set aside as {}", aside.display()),
                    Err(error) => format!("it cannot be set aside: {error}"),
                };
                let path = path.display();
                (
                    Self::default(),
                    Some(format!("{path} cannot be read ({error}); {moved}")),
                )
            }
        }
    }

    /// Writes it, to be read at the next start.
    ///
    /// # Errors
    /// When the directory cannot be written to; what was there stays.
    pub fn write(&self, data_dir: &Path) -> io::Result<()> {
        let text = ron::ser::to_string_pretty(self, ron::ser::PrettyConfig::default())
            .map_err(io::Error::other)?;
        let mut file = tempfile::Builder::new()
            .prefix(".window-")
            .tempfile_in(data_dir)?;
        file.write_all(text.as_bytes())?;
        file.persist(data_dir.join(FILE))
            .map_err(|error| error.error)?;
        Ok(())
    }

    /// Numbers that a window could not be opened with become the defaults.
    fn sane(mut self) -> Self {
        let Self { size, zoom, .. } = Self::default();
        let (width, height) = self.size;
        if !(320.0..=16_384.0).contains(&width) || !(240.0..=16_384.0).contains(&height) {
            self.size = size;
        }
        if !(0.2..=5.0).contains(&self.zoom) {
            self.zoom = zoom;
        }
        self
    }
}

/// Writes when it is told to, if something changed.
#[derive(Debug)]
pub struct Keeper {
    data_dir: PathBuf,
    written: Kept,
    latest: Kept,
    complained: bool,
}

impl Resume {
    /// What is to be gone on with, as it is now.
    ///
    /// # Errors
    /// When egui's memory cannot be written.
    pub fn of(ctx: &egui::Context) -> Result<Self, ron::Error> {
        let (egui, focus) = ctx.memory(|memory| (ron::to_string(memory), memory.focused()));
        let outer = ctx.input(|input| input.viewport().outer_rect);
        let zoom = ctx.zoom_factor();
        Ok(Self {
            position: outer.map(|outer| (outer.min.x * zoom, outer.min.y * zoom)),
            egui: egui?,
            focus,
        })
    }

    /// Puts egui's memory back, without the focus, which nothing has kept before it was drawn. To be
    /// called before the first frame.
    pub fn apply(&self, ctx: &egui::Context) {
        match ron::from_str::<egui::Memory>(&self.egui) {
            Ok(mut memory) => {
                // Style, zoom and the like are set by whoever owns them.
                memory.options = ctx.memory(|memory| memory.options.clone());
                ctx.memory_mut(|former| *former = memory);
            }
            Err(error) => tracing::warn!(%error, "egui's memory is lost over the restart"),
        }
    }
}

impl Keeper {
    /// `written`: what lies in the file.
    #[must_use]
    pub fn new(data_dir: PathBuf, written: Kept) -> Self {
        Self {
            data_dir,
            latest: written.clone(),
            written,
            complained: false,
        }
    }

    /// What would be written.
    #[must_use]
    pub fn latest(&self) -> &Kept {
        &self.latest
    }

    /// Takes what is to be written.
    pub fn latest_is(&mut self, kept: Kept) {
        self.latest = kept;
    }

    /// Whether something is to be written.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.latest != self.written
    }

    /// Writes, if something is to be written.
    ///
    /// # Errors
    /// When it cannot be written, which is put into the log once; it is tried again the next time.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.is_due() {
            return Ok(());
        }
        let written = self.latest.write(&self.data_dir);
        match &written {
            Ok(()) => {
                self.complained = false;
                self.written = self.latest.clone();
            }
            Err(error) if !self.complained => {
                self.complained = true;
                let path = self.data_dir.display();
                tracing::warn!(%path, %error, "the window's state cannot be written");
            }
            Err(_) => {}
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept {
            size: (900.0, 700.0),
            zoom: 1.5,
            theme: "light".into(),
            ..Kept::default()
        };
        kept.memory.filter = "whisper \"\u{1F600}\n".to_owned();
        kept.write(dir.path()).unwrap();
        assert_eq!(Kept::read(dir.path()), (kept, None));
    }

    #[test]
    fn a_broken_file_is_set_aside_and_the_defaults_hold() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Kept::read(dir.path()), (Kept::default(), None));
        fs::write(dir.path().join(FILE), "(size: (1").unwrap();
        let (kept, said) = Kept::read(dir.path());
        assert_eq!(kept, Kept::default());
        assert!(said.unwrap().contains("set aside"));
        assert_eq!(
            fs::read_to_string(dir.path().join(BROKEN)).unwrap(),
            "(size: (1"
        );
        assert!(!dir.path().join(FILE).exists());
    }

    #[test]
    fn what_could_not_be_written_is_written_once_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("not-yet");
        let mut keeper = Keeper::new(data_dir.clone(), Kept::default());
        let kept = Kept {
            zoom: 1.5,
            ..Kept::default()
        };
        keeper.latest_is(kept.clone());
        assert!(keeper.flush().is_err());
        assert!(keeper.is_due());
        fs::create_dir(&data_dir).unwrap();
        keeper.flush().unwrap();
        assert!(!keeper.is_due());
        assert_eq!(Kept::read(&data_dir), (kept, None));
    }

    #[test]
    fn sizes_that_no_window_has_become_the_defaults() {
        let dir = tempfile::tempdir().unwrap();
        for text in [
            "(size: (0, 1e9), zoom: 0)",
            "(zoom: -3, size: (NaN, NaN))",
            "()",
        ] {
            fs::write(dir.path().join(FILE), text).unwrap();
            assert_eq!(Kept::read(dir.path()), (Kept::default(), None), "{text}");
        }
    }
}
