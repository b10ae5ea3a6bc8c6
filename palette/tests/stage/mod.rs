//! The window with the palette over it, as the host draws them, under egui_kittest.

#![allow(
    clippy::expect_used,
    reason = "a test stops at what is not as it should be"
)]
#![allow(dead_code, reason = "each test program uses a part of it")]

use palette::Remembered;
use warden_hot::Memory;
use warden_toolkit::egui::{self, Key, Modifiers, UiBuilder, Vec2};
use warden_toolkit::egui_kittest::{Harness, HarnessBuilder};
use warden_view::{Action, Picture, Theme, UiMemory};

pub const CTRL: Modifiers = Modifiers {
    ctrl: true,
    command: true,
    ..Modifiers::NONE
};

pub struct Stage {
    pub picture: Picture,
    pub theme: Theme,
    pub ui_memory: UiMemory,
    pub memory: Memory,
    pub actions: Vec<Action>,
    /// How much of the window's upper edge the host's banner takes.
    pub banner: f32,
}

impl Stage {
    /// Keys of what was chosen lately.
    pub fn recent(&mut self) -> Vec<String> {
        let memory = self.memory.get_mut::<Remembered>();
        memory.expect("it is ours").recent().to_vec()
    }
}

pub type Window = Harness<'static, Stage>;

/// Without a renderer: for driving.
pub fn window(size: impl Into<Vec2>, picture: Picture, theme: Theme) -> Window {
    built(Harness::builder(), size, picture, theme)
}

/// With one: for pictures.
pub fn drawn(size: impl Into<Vec2>, picture: Picture, theme: Theme) -> Window {
    built(Harness::builder().wgpu(), size, picture, theme)
}

fn built(
    builder: HarnessBuilder<Stage>,
    size: impl Into<Vec2>,
    mut picture: Picture,
    theme: Theme,
) -> Window {
    let themes = &picture.window.themes;
    let named = themes.iter().find(|named| *named.name == *theme.name);
    picture.window.theme = named.expect("a shipped theme").id.clone();
    let fonts = theme.clone();
    let stage = Stage {
        picture,
        theme,
        ui_memory: UiMemory::default(),
        memory: Memory::new(&palette::palette_memory).expect("it is made"),
        actions: Vec::new(),
        banner: 0.0,
    };
    let mut window = builder
        .with_size(size)
        .with_context_setup(move |ctx| ui_hot::ui_hot_style(ctx, &fonts).expect("it styles"))
        .build_ui_state(draw, stage);
    window.run();
    window
}

fn draw(ui: &mut egui::Ui, stage: &mut Stage) {
    let mut whole = ui.ctx().content_rect();
    whole.min.y += stage.banner;
    let mut ui = ui.new_child(UiBuilder::new().id_salt("window").max_rect(whole));
    ui.set_clip_rect(whole);
    let Stage {
        picture,
        theme,
        ui_memory,
        memory,
        actions,
        ..
    } = stage;
    ui_hot::ui_hot_draw(&mut ui, picture, theme, ui_memory, actions).expect("the window is drawn");
    palette::palette_draw(&mut ui, picture, theme, ui_memory, memory, actions)
        .expect("the palette is drawn");
}

pub fn press(window: &mut Window, modifiers: Modifiers, key: Key) {
    window.key_press_modifiers(modifiers, key);
    window.run();
}

pub fn write(window: &mut Window, text: &str) {
    window.event(egui::Event::Text(text.to_owned()));
    window.run();
}

/// Opens the palette and types.
pub fn search(window: &mut Window, text: &str) {
    press(window, CTRL, Key::K);
    if !text.is_empty() {
        write(window, text);
    }
}
