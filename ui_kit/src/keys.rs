//! Keys as the window hears them.

use warden_toolkit::egui::{Event, EventFilter, Id, Key, Modifiers, Ui};

/// A key with exactly these modifiers. egui's own shortcuts let more Shift and Alt pass.
#[must_use]
pub fn pressed(ui: &Ui, modifiers: Modifiers, key: Key) -> bool {
    ui.input(|input| input.events.iter().any(|event| is(event, modifiers, key)))
}

/// The same, and takes it away from whatever is drawn after this.
#[must_use]
pub fn taken(ui: &Ui, modifiers: Modifiers, key: Key) -> bool {
    ui.input_mut(|input| {
        let before = input.events.len();
        input.events.retain(|event| !is(event, modifiers, key));
        input.events.len() < before
    })
}

/// Whether an event is the press of a key with exactly these modifiers.
#[must_use]
pub fn is(event: &Event, modifiers: Modifiers, key: Key) -> bool {
    match event {
        Event::Key {
            key: pressed,
            pressed: true,
            modifiers: held,
            ..
        } => *pressed == key && held.matches_exact(modifiers),
        _ => false,
    }
}

/// Draws with this key out of the way: a field would take it for an edit.
pub fn without<R>(
    ui: &mut Ui,
    modifiers: Modifiers,
    key: Key,
    draw: impl FnOnce(&mut Ui) -> R,
) -> R {
    let kept: Vec<Event> = ui.input_mut(|input| {
        let events = &mut input.events;
        events
            .extract_if(.., |event| is(event, modifiers, key))
            .collect()
    });
    let result = draw(ui);
    ui.input_mut(|input| input.events.extend(kept));
    result
}

/// Where this frame's keys move the selection in a list of that length, from a row; `None` for no
/// such key. Of a slow frame there may be several.
#[must_use]
pub fn moved(ui: &Ui, from: Option<usize>, count: usize) -> Option<usize> {
    const PAGE: usize = 10;
    let last = count.checked_sub(1)?;
    let step = |from: Option<usize>, key| match key {
        Key::ArrowDown => Some(from.map_or(0, |at| (at + 1).min(last))),
        Key::ArrowUp => Some(from.map_or(last, |at| at.saturating_sub(1))),
        Key::PageDown => Some(from.map_or(0, |at| (at + PAGE).min(last))),
        Key::PageUp => Some(from.map_or(0, |at| at.saturating_sub(PAGE))),
        Key::Home => Some(0),
        Key::End => Some(last),
        _ => None,
    };
    ui.input(|input| {
        input.events.iter().fold(None, |moved, event| match event {
            Event::Key {
                key,
                pressed: true,
                modifiers,
                ..
            } if modifiers.is_none() => step(moved.or(from), *key).or(moved),
            _ => moved,
        })
    })
}

/// While a list has the focus, arrows move in it and not from widget to widget.
pub fn keep_arrows(ui: &Ui, list: Id) {
    let filter = EventFilter {
        tab: false,
        horizontal_arrows: true,
        vertical_arrows: true,
        escape: false,
    };
    ui.ctx()
        .memory_mut(|memory| memory.set_focus_lock_filter(list, filter));
}
