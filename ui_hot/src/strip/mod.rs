//! The state strip: who holds each GPU and since when, who waits, what is stuck, what code runs.
//! Readable at three metres; it never scrolls away.

mod code;
mod gpu;
mod queue;

use warden_toolkit::egui::{Color32, Rect, Ui, pos2, vec2};
use warden_view::GpuState;

use crate::paint::{self, Hand};
use crate::scene::Scene;
use gpu::{many, one};
use queue::waiting;

pub(crate) use gpu::{idle, kept_for, measured};

/// More GPUs than this are counted instead of named.
const NAMED: usize = 4;
const PAD: f32 = 24.0;

pub(crate) fn show(ui: &mut Ui, rect: Rect, scene: &mut Scene<'_>) {
    let ink = &scene.ink;
    paint::frame(ui.painter(), rect, ink, ink.panel, ink.rule());
    let wide = rect.width() >= 1_100.0;
    let (queue, reload) = if wide { (236.0, 232.0) } else { (184.0, 156.0) };
    let gpus = rect.width() - queue - reload;
    let cells = match scene.picture.gpus.len() {
        0 => 1,
        n if n <= NAMED => n,
        _ => 1,
    };
    let mut x = rect.left();
    let mut cell = |width: f32| {
        let cell = Rect::from_min_size(pos2(x.round(), rect.top()), vec2(width, rect.height()));
        x += width;
        cell
    };
    for at in 0..cells {
        let cell = cell(gpus / cells as f32);
        match scene.picture.gpus.get(at) {
            None => no_gpu(ui, cell, scene),
            Some(_) if scene.picture.gpus.len() > NAMED => many(ui, cell, scene),
            Some(gpu) => one(ui, cell, rect, scene, (at, gpu)),
        }
        divide(ui, cell, scene);
    }
    let waiting = cell(queue);
    self::waiting(ui, waiting, scene);
    divide(ui, waiting, scene);
    code::show(ui, cell(reload), scene, wide);
}

fn divide(ui: &Ui, cell: Rect, scene: &Scene<'_>) {
    let inset = scene.ink.theme.shape.line;
    let y = (cell.top() + inset)..=(cell.bottom() - inset);
    ui.painter().vline(cell.right(), y, scene.ink.rule());
}

/// The three lines of a cell: heights of their centres.
fn lines(cell: Rect) -> [f32; 3] {
    [22.0, 56.0, 85.0].map(|y| cell.top() + y)
}

fn no_gpu(ui: &Ui, cell: Rect, scene: &Scene<'_>) {
    let ink = &scene.ink;
    let [top, middle, bottom] = lines(cell);
    let left = cell.left() + PAD;
    let painter = ui.painter();
    paint::left(
        painter,
        pos2(left, top),
        "GPU",
        &Hand::label(ink, ink.accent),
    );
    let name = Hand::new(ink.name(), ink.dim);
    paint::left(painter, pos2(left, middle), "none known", &name);
    let text = "the broker has not said what there is";
    paint::left(painter, pos2(left, bottom), text, &Hand::dim(ink));
}

/// What a GPU is doing, in a word, and whether the word is filled in.
pub(crate) fn state_word(state: GpuState, contested: bool) -> (&'static str, bool) {
    match state {
        GpuState::Free => ("free", false),
        GpuState::Held if contested => ("contested", true),
        GpuState::Held => ("held", false),
        GpuState::Kept => ("kept", false),
        GpuState::Draining => ("draining", false),
        GpuState::Cordoned => ("cordoned", false),
        GpuState::Gone => ("gone", true),
    }
}

pub(crate) fn state_colour(scene: &Scene<'_>, state: GpuState) -> Color32 {
    let ink = &scene.ink;
    match state {
        GpuState::Free => ink.good,
        GpuState::Held => ink.accent,
        GpuState::Kept | GpuState::Draining => ink.warn,
        GpuState::Cordoned => ink.dim,
        GpuState::Gone => ink.alarm,
    }
}
