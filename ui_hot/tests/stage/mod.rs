//! A window to look at and to drive: the hot library's two functions under egui_kittest.

#![allow(
    clippy::expect_used,
    reason = "a test stops at what is not as it should be"
)]
#![allow(dead_code, reason = "each test program uses a part of it")]

use warden_toolkit::egui::{self, UiBuilder, Vec2};
use warden_toolkit::egui_kittest::{Harness, HarnessBuilder};
use warden_view::{Action, Picture, Theme, UiMemory};

pub struct Stage {
    pub picture: Picture,
    pub theme: Theme,
    pub memory: UiMemory,
    pub actions: Vec<Action>,
}

pub type Window = Harness<'static, Stage>;

/// Without a renderer: for driving.
pub fn window(size: impl Into<Vec2>, picture: Picture, theme: Theme) -> Window {
    with_memory(
        Harness::builder(),
        size,
        picture,
        theme,
        UiMemory::default(),
    )
}

/// With one: for pictures.
pub fn drawn(size: impl Into<Vec2>, picture: Picture, theme: Theme, memory: UiMemory) -> Window {
    with_memory(Harness::builder().wgpu(), size, picture, theme, memory)
}

fn with_memory(
    builder: HarnessBuilder<Stage>,
    size: impl Into<Vec2>,
    mut picture: Picture,
    theme: Theme,
    memory: UiMemory,
) -> Window {
    let named = picture
        .window
        .themes
        .iter()
        .find(|named| *named.name == *theme.name);
    picture.window.theme = named.expect("a shipped theme").id.clone();
    let fonts = theme.clone();
    let mut window = builder
        .with_size(size)
        .with_context_setup(move |ctx| ui_hot::ui_hot_style(ctx, &fonts).expect("it styles"))
        .build_ui_state(
            draw,
            Stage {
                picture,
                theme,
                memory,
                actions: Vec::new(),
            },
        );
    window.run();
    window
}

fn draw(ui: &mut egui::Ui, stage: &mut Stage) {
    let whole = ui.ctx().content_rect();
    let mut ui = ui.new_child(UiBuilder::new().id_salt("window").max_rect(whole));
    ui.set_clip_rect(whole);
    let Stage {
        picture,
        theme,
        memory,
        actions,
    } = stage;
    // The host begins every frame with it.
    ui.painter()
        .rect_filled(whole, 0.0, ui_kit::ink::color32(theme.colours.ground));
    ui_hot::ui_hot_draw(&mut ui, picture, theme, memory, actions).expect("it draws");
}
