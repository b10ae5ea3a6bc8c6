//! The keyboard: every action has a key, and this page is the list of them that `?` shows.

use ui_kit::keys::{moved, pressed};
use ui_kit::wish::Wish;
use warden_toolkit::egui::{Event, FocusDirection, Id, Key, Modifiers, Rect, Ui};
use warden_view::{Action, Dialog, Layout, Panel, Selection, Sort};

use crate::scene::{Scene, Selected};
use crate::{board, queue, settings};

/// The keys as the sheet lists them: group, key, what it does. Those with Alt, and Ctrl with +
/// and −, are the host's; Ctrl+K is the palette's.
pub(crate) const SHEET: &[(&str, &str, &str)] = &[
    ("Look", "Ctrl+K", "palette: anything, by its name"),
    ("Look", "/", "filter queue and holders"),
    ("Look", "↑ ↓", "select the row above or below"),
    ("Look", "PgUp PgDn", "ten rows up or down"),
    ("Look", "Home End", "first or last row"),
    ("Look", "Enter", "show the selected row in full"),
    ("Look", "Ctrl+1 … 8", "a panel: GPUs, queue, … settings"),
    ("Look", "Esc", "one step back; never acts"),
    ("Reload", "Ctrl+Alt+R", "reload all code and files"),
    ("Reload", "Ctrl+Alt+Z", "take the newest generation back"),
    ("Reload", "Ctrl+Alt+W", "warm restart: all anew, in place"),
    ("Act", "Del", "cancel the waiter, release the lease"),
    ("Act", "Ctrl+Shift+Del", "force all leases to end"),
    ("Act", "Ctrl+Shift+S", "reset what is stale"),
    ("Act", "Ctrl+Enter", "confirm what a dialog asks"),
    ("Act", "Ctrl+C", "copy the selected id"),
    ("Act", "Ctrl+Shift+C", "copy its warden command"),
    ("Window", "Ctrl+Shift+T", "next theme"),
    ("Window", "Ctrl + −", "larger, smaller"),
    ("Window", "Ctrl+Shift+L", "standard layout"),
    ("Window", "?", "these keys"),
];

/// Acts on the keys of this frame. A field that is typed in keeps its own.
pub(crate) fn handle(ui: &Ui, scene: &mut Scene<'_>, room: Rect) {
    if let Some(wish) = Wish::take(ui.ctx()) {
        grant(ui, scene, room, wish);
    }
    let typing = typing(ui, scene);
    if scene.memory.dialog.is_some() || palette_is_over(ui, scene) {
        return;
    }
    windows_keys(ui, scene, room);
    if pressed(ui, Modifiers::NONE, Key::Escape) {
        step_back(ui, scene, typing);
    }
    if typing {
        return;
    }
    if typed(ui, "?") {
        scene.memory.dialog = Some(Dialog::Keys);
    }
    if typed(ui, "/") {
        ui.ctx()
            .memory_mut(|memory| memory.request_focus(queue::filter_id()));
    }
    let lease_list = ui
        .ctx()
        .memory(|memory| memory.has_focus(crate::holders::list_id()));
    if lease_list {
        crate::holders::move_selection(ui, scene);
    } else if table_or_nothing_focused(ui) {
        move_selection(ui, scene);
    }
    acting(ui, scene, room);
}

/// The palette is open and was drawn: it is another module, which may be down. Then the keyboard is
/// ours after all.
fn palette_is_over(ui: &Ui, scene: &Scene<'_>) -> bool {
    let drawn = ui.ctx().memory(|memory| memory.top_modal_layer().is_some());
    scene.memory.palette.is_some() && drawn
}

fn typing(ui: &Ui, scene: &Scene<'_>) -> bool {
    ui.ctx().memory(|memory| {
        memory.has_focus(queue::filter_id())
            || memory.has_focus(crate::events::filter_id())
            || memory
                .focused()
                .is_some_and(|id| settings::is_field(scene, id))
    })
}

/// The tables take the arrow keys themselves, and that is no typing.
fn tables_focused(ui: &Ui) -> bool {
    ui.ctx().memory(|memory| {
        memory.has_focus(queue::table_id()) || memory.has_focus(crate::holders::list_id())
    })
}

fn windows_keys(ui: &Ui, scene: &mut Scene<'_>, room: Rect) {
    const NUMBERS: [Key; 8] = [
        Key::Num1,
        Key::Num2,
        Key::Num3,
        Key::Num4,
        Key::Num5,
        Key::Num6,
        Key::Num7,
        Key::Num8,
    ];
    for (key, panel) in NUMBERS.into_iter().zip(Panel::ALL) {
        if pressed(ui, Modifiers::COMMAND, key) {
            board::front(scene, room, panel);
            focus_panel(ui, scene, panel);
        }
    }
    let shifted = Modifiers::COMMAND | Modifiers::SHIFT;
    if pressed(ui, shifted, Key::T) {
        next_theme(scene);
    }
    if pressed(ui, shifted, Key::L) {
        scene.memory.layout = Layout::default();
    }
}

fn focus_panel(ui: &Ui, scene: &Scene<'_>, panel: Panel) {
    let id = match panel {
        Panel::Settings => return settings::focus(ui, scene, 0),
        Panel::Queue => queue::table_id(),
        Panel::Holders => crate::holders::list_id(),
        _ => return,
    };
    ui.ctx().memory_mut(|memory| memory.request_focus(id));
}

fn next_theme(scene: &mut Scene<'_>) {
    if let Some(theme) = scene.next_theme() {
        let id = theme.id.clone();
        scene.actions.push(Action::SetTheme { id });
    }
}

/// What was asked from over the panels.
fn grant(ui: &Ui, scene: &mut Scene<'_>, room: Rect, wish: Wish) {
    match wish {
        Wish::Filter => ui
            .ctx()
            .memory_mut(|memory| memory.request_focus(queue::filter_id())),
        Wish::Front(panel) => {
            board::front(scene, room, panel);
            focus_panel(ui, scene, panel);
        }
        Wish::Reveal => reveal(ui, scene, room),
        Wish::Setting(place) => {
            board::front(scene, room, Panel::Settings);
            settings::focus(ui, scene, place);
        }
    }
}

/// Brings what is selected into sight. A filter that hides it is cleared.
fn reveal(ui: &Ui, scene: &mut Scene<'_>, room: Rect) {
    let panel = match scene.selected() {
        Selected::Nothing => return,
        Selected::Waiter(place, _) => {
            let shown = queue::shown_at(ui, scene, place - 1).or_else(|| {
                scene.memory.filter.clear();
                queue::shown_at(ui, scene, place - 1)
            });
            jump(ui, queue::table_id(), shown.unwrap_or(0));
            Panel::Queue
        }
        Selected::Holder(holder) => {
            let shown = crate::holders::shown_at(scene, holder).or_else(|| {
                scene.memory.filter.clear();
                crate::holders::shown_at(scene, holder)
            });
            jump(ui, crate::holders::list_id(), shown.unwrap_or(0));
            Panel::Holders
        }
        Selected::Gpu(_) => Panel::Gpus,
    };
    board::front(scene, room, panel);
    focus_panel(ui, scene, panel);
}

/// A palette that nobody draws is closed; what is typed into a setting is given up; a field loses the
/// focus and then its text, a sorted table its sorting, a row its selection.
fn step_back(ui: &Ui, scene: &mut Scene<'_>, typing: bool) {
    if scene.memory.palette.take().is_some() {
        return;
    }
    // Before the field could take the lost focus for an order to save.
    if scene.memory.draft.take().is_some() {
        return;
    }
    if typing {
        if let Some(id) = ui.ctx().memory(|memory| memory.focused()) {
            ui.ctx().memory_mut(|memory| memory.surrender_focus(id));
            if id == queue::filter_id() {
                scene.memory.filter.clear();
            }
            if id == crate::events::filter_id() {
                scene.memory.events_filter.clear();
            }
        }
    } else if !scene.memory.filter.is_empty() {
        scene.memory.filter.clear();
    } else if scene.memory.sort != Sort::default() {
        scene.memory.sort = Sort::default();
    } else {
        scene.memory.selection = Selection::None;
    }
}

fn move_selection(ui: &Ui, scene: &mut Scene<'_>) {
    const MOVES: [Key; 6] = [
        Key::ArrowDown,
        Key::ArrowUp,
        Key::PageDown,
        Key::PageUp,
        Key::Home,
        Key::End,
    ];
    if !ui.input(|input| MOVES.iter().any(|key| input.key_pressed(*key))) {
        return;
    }
    let order = queue::rows(ui, scene);
    let count = order
        .as_ref()
        .map_or(scene.picture.queue.len(), |order| order.len());
    let from = match scene.selected() {
        Selected::Waiter(place, _) => queue::shown_at(ui, scene, place - 1),
        _ => None,
    };
    let Some(to) = moved(ui, from, count) else {
        return;
    };
    let place = order.as_ref().map_or(to, |order| order[to] as usize);
    queue::select(scene, place);
    ui.ctx().memory_mut(|memory| {
        memory.request_focus(queue::table_id());
        // This key has moved the selection; it does not move the focus on as well.
        memory.move_focus(FocusDirection::None);
    });
    jump(ui, queue::table_id(), to);
}

fn acting(ui: &Ui, scene: &mut Scene<'_>, room: Rect) {
    let shifted = Modifiers::COMMAND | Modifiers::SHIFT;
    let selected = scene.selected();
    if !matches!(selected, Selected::Nothing)
        && table_or_nothing_focused(ui)
        && pressed(ui, Modifiers::NONE, Key::Enter)
    {
        board::front(scene, room, Panel::Detail);
    }
    if copied(ui, false)
        && let Some(id) = selected.id()
    {
        scene.actions.push(Action::CopyText {
            text: id.to_owned(),
        });
    }
    if copied(ui, true)
        && let Some(text) = selected.command()
    {
        scene.actions.push(Action::CopyText { text });
    }
    if !scene.acting {
        return;
    }
    if pressed(ui, shifted, Key::Delete) {
        scene.memory.dialog = Some(Dialog::ForceAll { clear_queue: false });
    } else if pressed(ui, Modifiers::NONE, Key::Delete) {
        scene.memory.dialog = match selected {
            Selected::Waiter(_, waiter) => Some(Dialog::Cancel(waiter.request.to_string())),
            Selected::Holder(holder) => Some(Dialog::Release(holder.lease.to_string())),
            Selected::Nothing | Selected::Gpu(_) => None,
        };
    }
    if pressed(ui, shifted, Key::S) {
        scene.memory.dialog = Some(Dialog::Reset);
    }
}

/// Enter on a focused button is that button's.
fn table_or_nothing_focused(ui: &Ui) -> bool {
    tables_focused(ui) || ui.ctx().memory(|memory| memory.focused().is_none())
}

/// Ctrl+C arrives as an event of its own where the platform has a clipboard.
fn copied(ui: &Ui, shifted: bool) -> bool {
    let wanted = if shifted {
        Modifiers::COMMAND | Modifiers::SHIFT
    } else {
        Modifiers::COMMAND
    };
    let is_copy = ui.input(|input| {
        input
            .events
            .iter()
            .any(|event| matches!(event, Event::Copy))
            && input.modifiers.shift == shifted
    });
    is_copy || pressed(ui, wanted, Key::C)
}

/// A character, however this keyboard makes it.
fn typed(ui: &Ui, character: &str) -> bool {
    ui.input_mut(|input| {
        let before = input.events.len();
        // Taken out, or a field that gets the focus by it would be typed in.
        input
            .events
            .retain(|event| !matches!(event, Event::Text(text) if text == character));
        input.events.len() < before
    })
}

/// Brings a row of a table into sight.
pub(crate) fn jump(ui: &Ui, table: Id, row: usize) {
    ui.ctx()
        .data_mut(|data| data.insert_temp(table.with("jump"), row));
}

/// The row that must come into sight.
pub(crate) fn take_jump(ui: &Ui, table: Id) -> Option<usize> {
    ui.ctx()
        .data_mut(|data| data.remove_temp::<usize>(table.with("jump")))
}

/// Where a table must be scrolled to so that a row is in sight, moving as little as possible.
pub(crate) fn offset_for(ui: &Ui, table: Id, row: usize, height: f32, room: Rect) -> f32 {
    let offset = ui
        .ctx()
        .data(|data| data.get_temp::<f32>(table.with("offset")))
        .unwrap_or(0.0);
    let top = row as f32 * height;
    offset.min(top).max(top + height - room.height()).max(0.0)
}

pub(crate) fn remember_offset(ui: &Ui, table: Id, offset: f32) {
    ui.ctx()
        .data_mut(|data| data.insert_temp(table.with("offset"), offset));
}
