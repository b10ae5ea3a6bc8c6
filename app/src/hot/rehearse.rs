//! The rehearsal: new code draws where nobody sees it, on a copy of what the window shows.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use warden_reload::{Candidate, HotModule, Rehearse, call};
use warden_toolkit::egui;
use warden_view::{Picture, Theme, UiMemory};

use super::module;
use super::place::Place;
use super::table::{Entry, Functions, MODULES};

/// How often it draws: what is laid out by the first pass shows in the second.
const PASSES: u32 = 2;

/// What a rehearsal draws.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scene {
    /// What is shown.
    pub picture: Picture,
    /// In which theme.
    pub theme: Arc<Theme>,
    /// What the window remembers.
    pub memory: UiMemory,
    /// What egui remembers.
    pub egui: egui::Memory,
    /// The window's size, in points.
    pub size: egui::Vec2,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            picture: Picture::default(),
            theme: Arc::new(Theme::nerv()),
            memory: UiMemory::default(),
            egui: egui::Memory::default(),
            size: egui::vec2(1280.0, 800.0),
        }
    }
}

/// Where the host leaves the scene for the reload thread.
#[derive(Clone, Debug, Default)]
pub struct Stage {
    scene: Arc<Mutex<Scene>>,
    /// The context of the last rehearsal that went well: its fonts are rasterised already.
    scratch: Arc<Mutex<Option<egui::Context>>>,
}

impl Stage {
    /// What is drawn by the rehearsals from now on.
    pub fn set(&self, scene: Scene) {
        *lock(&self.scene) = scene;
    }

    /// How a module is rehearsed, here and, with its state as text, in a child process.
    #[must_use]
    pub fn rehearse(&self, entry: &Entry, in_child: bool) -> Rehearse {
        let (entry, stage) = (*entry, self.clone());
        let rehearse = Rehearse::new(move |candidate| stage.run(&entry, candidate));
        let scene = Arc::clone(&self.scene);
        match in_child {
            // Writing ten thousand rows takes a while, so it is only done for who cannot see them.
            true => rehearse.with_state(move || {
                let scene = lock(&scene).clone();
                ron::to_string(&scene).unwrap_or_default()
            }),
            false => rehearse,
        }
    }

    fn run(&self, entry: &Entry, candidate: Candidate<'_>) -> Result<(), String> {
        let functions = entry
            .functions(candidate.generation)
            .ok_or("a delegation target is missing")?;
        let mut scene = match candidate.state {
            Some(text) => ron::from_str(text)
                .map_err(|error| format!("the state to rehearse with cannot be read: {error}"))?,
            None => lock(&self.scene).clone(),
        };
        if let Some(open) = entry.opens {
            open(&mut scene.memory);
        }
        // A context that a panic was in the middle of is not used again.
        let scratch = lock(&self.scratch).take().unwrap_or_default();
        draw(&scratch, &functions, scene, candidate.memory)?;
        *lock(&self.scratch) = Some(scratch);
        Ok(())
    }
}

/// Rehearses the library at `file` in this process, with what is told on the standard input: what a
/// window with `--paranoid` starts this program for.
///
/// # Errors
/// What went wrong; where the new code ends the process, it is not heard any more.
pub fn rehearse(file: &std::path::Path) -> anyhow::Result<()> {
    // Neither is built or loaded from here.
    let place = Place {
        artifacts: PathBuf::new(),
        checkout: None,
        staging: PathBuf::new(),
        rehearser: None,
    };
    let stage = Stage::default();
    let modules: Vec<HotModule> = MODULES
        .iter()
        .map(|entry| module(entry, &place, &stage))
        .collect();
    let stamp = warden_manifest::stamp!(shares: warden_toolkit);
    Ok(warden_reload::rehearse_child(&modules, stamp, file)?)
}

fn draw(
    scratch: &egui::Context,
    functions: &Functions,
    scene: Scene,
    mut own: Option<&mut warden_hot::Memory>,
) -> Result<(), String> {
    let Scene {
        picture,
        theme,
        mut memory,
        egui: copy,
        size,
    } = scene;
    if let Some(style) = functions.style {
        call(|| style(scratch, &theme)).map_err(|caught| caught.to_string())?;
        // Fonts are in place from the next pass on.
        pass(scratch, size, |_| Ok(()))?;
    }
    // Which fonts are in place is noted in there, so the scratch's own comes back afterwards.
    let before = scratch.memory(egui::Memory::clone);
    let mut copy = copy;
    copy.options = before.options.clone();
    scratch.memory_mut(|memory| *memory = copy);
    let mut actions = Vec::new();
    for _ in 0..PASSES {
        pass(scratch, size, |ui| {
            let own = own.as_deref_mut();
            call(|| functions.draw(ui, (&picture, &theme), &mut memory, own, &mut actions))
                .map_err(|caught| caught.to_string())
        })?;
    }
    scratch.memory_mut(|memory| *memory = before);
    Ok(())
}

fn pass(
    scratch: &egui::Context,
    size: egui::Vec2,
    mut draw: impl FnMut(&mut egui::Ui) -> Result<(), String>,
) -> Result<(), String> {
    let input = egui::RawInput {
        screen_rect: Some(egui::Rect::from_min_size(egui::Pos2::ZERO, size)),
        ..egui::RawInput::default()
    };
    let mut result = Ok(());
    let mut output = scratch.run_ui(input, |ui| {
        if result.is_ok() {
            result = draw(ui);
        }
    });
    // Nobody uploads them.
    output.textures_delta.clear();
    result
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
