//! The window with the palette over it, as the host draws them, under egui_kittest.

#![allow(
    clippy::expect_used,
    reason = "a test stops at what is not as it should be"
)]
#![allow(dead_code, reason = "each test program uses a part of it")]

use palette::Remembered;
use warden_hot::Memory;
use warden_toolkit::egui::accesskit::Role;
use warden_toolkit::egui::{self, Key, Modifiers, UiBuilder, Vec2};
use warden_toolkit::egui_kittest::kittest::{NodeT as _, Queryable as _};
use warden_toolkit::egui_kittest::{Harness, HarnessBuilder};
use warden_view::{Action, Dialog, Picture, Theme, UiMemory};

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
    // The host begins every frame with it.
    ui.painter()
        .rect_filled(whole, 0.0, ui_kit::ink::color32(theme.colours.ground));
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

pub fn key(window: &mut Window, key: Key) {
    press(window, Modifiers::NONE, key);
}

pub fn taken(window: &mut Window) -> Vec<Action> {
    std::mem::take(&mut window.state_mut().actions)
}

pub fn dialog(window: &Window) -> Option<Dialog> {
    window.state().ui_memory.dialog.clone()
}

/// What assistive technology hears of each line in sight.
pub fn lines(window: &Window) -> Vec<String> {
    window
        .query_all_by_role(Role::ListBoxOption)
        .filter_map(|line| line.accesskit_node().label())
        .collect()
}

/// The line that Enter would choose.
pub fn lit(window: &Window) -> String {
    let mut lit = window
        .query_all_by_role(Role::ListBoxOption)
        .filter(|line| line.accesskit_node().is_selected() == Some(true));
    let line = lit.next().expect("one is lit");
    assert!(lit.next().is_none(), "two are lit");
    line.accesskit_node().label().expect("it has a name")
}

/// The field has the keyboard, and points assistive technology to the lit line.
pub fn keyboard_is_here(window: &Window) -> bool {
    let name = "Search everything that the window can do, and every row";
    let (field, _) = window.get_by_label(name).accesskit_node().locate();
    let focus = window.ctx.memory(|memory| memory.focused());
    let mut lines = window.query_all_by_role(Role::ListBoxOption);
    focus.is_some_and(|id| field == id.accesskit_id()) && lines.any(|line| line.is_focused())
}

pub fn typed(window: &Window) -> Option<&str> {
    window.state().ui_memory.palette.as_deref()
}
