//! What the window draws: the hot library.
//!
//! It is handed a [`Picture`] and draws it; what the operator wishes goes out as [`Action`]s. It
//! never acts, reads no clock and keeps nothing: what must outlive a frame is in [`UiMemory`], or in
//! egui's own memory as types of std and egui alone, since a type of this library is another type in
//! its next generation.

use warden_toolkit as _;
use warden_toolkit::egui::{self, Rect, pos2, vec2};
use warden_view::{Action, Picture, Theme, UiMemory};

mod arrange;
mod board;
mod detail;
mod dialog;
mod events;
mod footer;
mod gpus;
mod holders;
mod keys;
mod notice;
mod page;
mod queue;
mod reload;
mod settings;
mod strip;
mod timeline;

use scene::Scene;
use ui_kit::{choice, control, ink, paint, scene, style, words};

warden_manifest::manifest! {
    module: "ui_hot",
    shares: warden_toolkit,
    schema: warden_view::SCHEMA,
}

/// Draws one frame into all of `ui`, on the theme's ground, which lies there already.
///
/// Call [`ui_hot_style`] before the first frame and whenever the theme or this library changed.
/// Without it the frame is drawn in egui's own fonts.
#[warden_hot::delegation_target]
pub fn ui_hot_draw(
    ui: &mut egui::Ui,
    picture: &Picture,
    theme: &Theme,
    memory: &mut UiMemory,
    actions: &mut Vec<Action>,
) {
    let window = ui.max_rect();
    let mut scene = Scene::new(ui.ctx(), picture, theme, memory, actions);
    let spacing = theme.spacing;
    let gap = spacing.gap;
    let inner = window.shrink(gap);
    let strip = Rect::from_min_size(inner.min, vec2(inner.width(), spacing.strip));
    let footer = Rect::from_min_max(
        pos2(inner.left(), window.bottom() - gap - spacing.footer),
        pos2(inner.right(), window.bottom() - gap),
    );
    let mut notice = inner;
    notice.min.y = strip.bottom() + gap;
    notice.set_height(notice::height(&scene));
    let board = Rect::from_min_max(
        pos2(inner.left(), notice.bottom()),
        pos2(inner.right(), footer.top() - gap),
    );
    keys::handle(ui, &mut scene, board);
    strip::show(ui, strip, &mut scene);
    notice::show(ui, notice, &mut scene);
    if board.is_positive() {
        board::show(ui, board, &mut scene);
    }
    footer::show(ui, footer, &mut scene);
    dialog::show(ui, &mut scene);
}

/// Puts the theme's fonts and style in place for what egui itself draws. Cheap when they are there
/// already.
#[warden_hot::delegation_target]
pub fn ui_hot_style(ctx: &egui::Context, theme: &Theme) {
    style::apply(ctx, theme);
}
