//! What became of the module's own memory at the last swap, key by key.

use warden_toolkit::egui::{Color32, Rect, Role, pos2};
use warden_view::{Change, Fate, Migration, Module};

use crate::page::{LINE, Page};
use crate::paint::{self, Hand};

pub(super) fn show(page: &mut Page<'_, '_>, module: &Module) {
    let Some(migration) = &module.migration else {
        return;
    };
    let title = format!("Memory {:02} → {:02}", migration.from, migration.to);
    let remark = if page.width() < SHORT {
        let changed = migration.changes.len();
        format!("{} kept, {changed} changed", migration.kept.len())
    } else {
        sum(migration)
    };
    page.heading(&title, &remark);
    for (at, change) in migration.changes.iter().enumerate() {
        self::change(page, at, change);
    }
    if !migration.kept.is_empty() {
        kept(page, &migration.kept.join(", "));
    }
    page.y += 10.0;
}

/// Below this width key and values stand one under the other.
const SHORT: f32 = 420.0;
/// What the fate of a key takes.
const FATES: f32 = 84.0;

fn kept(page: &mut Page<'_, '_>, keys: &str) {
    let at = pos2(page.left, page.y + LINE / 2.0);
    let hand = Hand::label(&page.ink, page.ink.good);
    paint::left(page.ui.painter(), at, "kept", &hand);
    let mono = Hand::new(page.ink.mono(), page.ink.dim);
    let top = page.y;
    let mut part = page.part(page.left + FATES, page.right, "kept");
    part.y += 2.0;
    part.paragraph(keys, &mono);
    page.y = part.y.max(top + LINE);
    let rect = Rect::from_min_max(pos2(page.left, top), pos2(page.right, page.y));
    page.say(rect, "kept", Role::ListItem, &format!("kept: {keys}"));
}

/// `12 kept, 1 migrated`.
pub(super) fn sum(migration: &Migration) -> String {
    let count = |fate| {
        let changes = migration.changes.iter();
        changes.filter(|change| change.fate == fate).count()
    };
    let mut parts = vec![format!("{} kept", migration.kept.len())];
    for fate in [Fate::Migrated, Fate::Defaulted, Fate::Dropped] {
        match count(fate) {
            0 => {}
            n => parts.push(format!("{n} {}", fate_word(fate))),
        }
    }
    parts.join(", ")
}

pub(super) fn fate_word(fate: Fate) -> &'static str {
    match fate {
        Fate::Migrated => "migrated",
        Fate::Defaulted => "defaulted",
        Fate::Dropped => "dropped",
    }
}

fn fate_colour(page: &Page<'_, '_>, fate: Fate) -> Color32 {
    match fate {
        Fate::Migrated => page.ink.accent,
        Fate::Defaulted | Fate::Dropped => page.ink.warn,
    }
}

/// `old → new`, and what is missing says so.
pub(super) fn values(change: &Change) -> String {
    match (change.old.is_empty(), change.new.is_empty()) {
        (true, true) => String::new(),
        (true, false) => format!("new: {}", change.new),
        (false, true) => format!("was {}", change.old),
        (false, false) => format!("{} → {}", change.old, change.new),
    }
}

fn change(page: &mut Page<'_, '_>, at: usize, change: &Change) {
    let ink = page.ink.clone();
    let (word, values) = (fate_word(change.fate), values(change));
    let rect = page.line(LINE);
    let hand = Hand::label(&ink, fate_colour(page, change.fate));
    paint::left(page.ui.painter(), rect.left_center(), word, &hand);
    let left = rect.left() + FATES;
    let mono = Hand::new(ink.mono(), ink.text);
    let narrow = page.width() < SHORT;
    let room = rect.right() - left;
    let key_room = if narrow { room } else { room * 0.42 };
    let key = page.text(pos2(left, rect.center().y), &change.key, &mono, key_room);
    let dim = mono.coloured(ink.dim);
    let mut whole = rect;
    if narrow {
        let below = page.line(LINE - 2.0);
        whole = whole.union(below);
        page.text(pos2(left, below.center().y), &values, &dim, room);
    } else {
        let x = key.rect.right() + 14.0;
        page.text(pos2(x, rect.center().y), &values, &dim, rect.right() - x);
    }
    let mut spoken = format!("{word}: {}, {values}", change.key);
    if !change.why.is_empty() {
        spoken = format!("{spoken}: {}", change.why);
        let below = page.line(LINE - 2.0);
        whole = whole.union(below);
        let at = pos2(left, below.center().y);
        page.text(at, &change.why, &Hand::dim(&ink), room);
    }
    let whole: Rect = whole;
    page.say(whole, &format!("change {at}"), Role::ListItem, &spoken);
}
