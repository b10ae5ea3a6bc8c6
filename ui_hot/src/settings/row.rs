//! One setting: its value with what edits it, and what there is to say about it.

use warden_toolkit::egui::{Color32, Key, Popup, PopupCloseBehavior, Pos2, Rect, Role, pos2, vec2};
use warden_view::{Action, Draft, Form, Setting, SettingsFile, Text, Verdict};

use super::{Columns, control_id};
use crate::choice::Choice;
use crate::control::{Button, Field, Holds, follow};
use crate::page::{LINE, Page};
use crate::paint::{self, Hand};
use crate::words;

/// The most that a value's control takes.
pub(super) const VALUE: f32 = 270.0;
/// Room for the mark before the key: whether the value holds.
pub(super) const MARK: f32 = 16.0;
/// A value of more characters has the whole width.
const SHORT: usize = 12;
/// The longest value that is typed here; longer ones are for the editor.
const LIMIT: usize = 2_048;

/// The place of a choice's or a flag's value among what it can be.
pub(super) fn chosen(setting: &Setting) -> Option<usize> {
    match &setting.form {
        Form::Typed => None,
        Form::Flag => Some(usize::from(&*setting.value == "true")),
        Form::Choice(of) => of.iter().position(|each| *each == setting.value),
    }
}

pub(super) fn show(
    page: &mut Page<'_, '_>,
    file: &SettingsFile,
    setting: &Setting,
    columns: Option<&Columns>,
) {
    match columns {
        Some(columns) => in_table(page, file, setting, columns),
        None => stacked(page, file, setting),
    }
    remark(page, file, setting, columns);
    rule(page);
}

fn spoken(setting: &Setting) -> String {
    let mut said = format!("{}, {}", setting.key, setting.value);
    if let Some(live) = setting.live.as_ref().filter(|live| **live != setting.value) {
        said = format!("{said}, not live: {live} holds");
    }
    format!("{said}. {}", words::spoken(&setting.meaning))
}

pub(super) fn rule(page: &Page<'_, '_>) {
    let pad = page.ink.theme.spacing.pad;
    let rect = Rect::from_min_max(
        pos2(page.left - pad, page.y),
        pos2(page.right + 16.0, page.y),
    );
    paint::rule(page.ui.painter(), rect, page.y - 0.5, &page.ink);
}

fn in_table(page: &mut Page<'_, '_>, file: &SettingsFile, setting: &Setting, columns: &Columns) {
    let top = page.y;
    let y = top + 18.0;
    key(page, setting, y, columns.value - 12.0);
    control(page, file, setting, pos2(columns.value, y), VALUE);
    default(page, file, setting, pos2(columns.default, y), 104.0);
    let dim = Hand::dim(&page.ink);
    let room = columns.meaning - columns.range - 12.0;
    page.text(pos2(columns.range, y), &range(setting), &dim, room);
    let mut part = page.part(columns.meaning, page.right, "meaning");
    part.y = top + 10.0;
    part.paragraph(&setting.meaning, &dim);
    page.y = (part.y + 8.0).max(top + 36.0);
}

/// Without room for a table: what stands side by side there stands one above the other.
fn stacked(page: &mut Page<'_, '_>, file: &SettingsFile, setting: &Setting) {
    page.y += 6.0;
    let rect = page.line(LINE);
    key(page, setting, rect.center().y, page.right);
    let rect = page.line(page.ink.theme.spacing.button + 4.0);
    let at = pos2(page.left + MARK, rect.center().y);
    let room = VALUE.min(page.right - at.x);
    let right = control(page, file, setting, at, room);
    let dim = Hand::dim(&page.ink);
    let mut part = page.part(page.left + MARK, page.right, "meaning");
    part.y += 4.0;
    part.paragraph(&setting.meaning, &dim);
    page.y = part.y;
    let at = pos2(right + 14.0, rect.center().y);
    if page.right - at.x > 90.0 {
        let used = default(page, file, setting, at, page.right - at.x);
        let at = pos2(used + 14.0, at.y);
        page.text(at, &range(setting), &dim, page.right - at.x);
    } else {
        let rect = page.line(page.ink.theme.spacing.button + 6.0);
        let at = pos2(page.left + MARK, rect.center().y);
        let used = default(page, file, setting, at, 140.0);
        let at = pos2(used + 14.0, at.y);
        page.text(at, &range(setting), &dim, page.right - at.x);
    }
    page.y += 6.0;
}

/// What it may be, and what that is counted in.
fn range(setting: &Setting) -> String {
    match (&*setting.range, &*setting.unit) {
        ("", unit) => unit.to_owned(),
        (range, "") => range.to_owned(),
        (range, unit) => format!("{range} {unit}"),
    }
}

/// The key behind its mark: filled where the value holds, hollow where another does or nobody knows.
fn key(page: &Page<'_, '_>, setting: &Setting, y: f32, right: f32) {
    let ink = &page.ink;
    let centre = pos2(page.left + 4.0, y);
    let painter = page.ui.painter();
    let (said, colour) = match &setting.live {
        Some(live) if *live == setting.value => ("live", ink.good),
        Some(_) => ("not live", ink.warn),
        None => ("nobody knows whether it is live", ink.dim),
    };
    if setting.live.as_ref() == Some(&setting.value) {
        painter.circle_filled(centre, 3.0, colour);
    } else {
        painter.circle_stroke(centre, 3.0, ink.outline(colour));
    }
    let area = Rect::from_center_size(centre, vec2(12.0, 18.0));
    page.say(
        area,
        "mark",
        Role::Status,
        &format!("{}: {said}", setting.key),
    )
    .on_hover_text(said);
    let at = pos2(page.left + MARK, y);
    let mono = Hand::new(ink.mono(), ink.text);
    page.text(at, &setting.key, &mono, right - at.x);
    let whole = Rect::from_min_max(pos2(at.x, y - 10.0), pos2(right, y + 10.0));
    page.say(whole, "key", Role::Row, &spoken(setting));
}

/// What the value is edited with. Gives where it ends.
fn control(
    page: &mut Page<'_, '_>,
    file: &SettingsFile,
    setting: &Setting,
    at: Pos2,
    room: f32,
) -> f32 {
    match &setting.form {
        Form::Typed => typed(page, file, setting, at, room),
        Form::Flag => {
            let of = [("off", ""), ("on", "")];
            let (right, pressed) = choice(page, file, setting, &of, at);
            if let Some(pressed) = pressed {
                let value = if pressed == 1 { "true" } else { "false" };
                set(page, file, setting, value);
            }
            right
        }
        Form::Choice(of) => {
            let words: Vec<(&str, &str)> = of.iter().map(|word| (&**word, "")).collect();
            if width(page, file, setting, &words) > room {
                return menu(page, file, setting, of, (at, room));
            }
            let (right, pressed) = choice(page, file, setting, &words, at);
            if let Some(pressed) = pressed {
                set(page, file, setting, &of[pressed]);
            }
            right
        }
    }
}

fn name(file: &SettingsFile, setting: &Setting) -> String {
    format!("{} {}", file.title, setting.key)
}

fn parts<'a>(
    file: &SettingsFile,
    setting: &Setting,
    name: &'a str,
    of: &'a [(&'a str, &'a str)],
) -> Choice<'a> {
    Choice {
        id: control_id(&file.name, &setting.key),
        name,
        of,
        chosen: chosen(setting),
        enabled: file.locked.is_empty(),
    }
}

fn width(page: &Page<'_, '_>, file: &SettingsFile, setting: &Setting, of: &[(&str, &str)]) -> f32 {
    parts(file, setting, "", of).width(page.ui, &page.ink)
}

fn choice(
    page: &Page<'_, '_>,
    file: &SettingsFile,
    setting: &Setting,
    of: &[(&str, &str)],
    at: Pos2,
) -> (f32, Option<usize>) {
    let name = name(file, setting);
    let (rect, pressed) = parts(file, setting, &name, of).show(page.ui, &page.ink, at);
    (rect.right(), pressed)
}

/// More choices than stand side by side.
fn menu(
    page: &mut Page<'_, '_>,
    file: &SettingsFile,
    setting: &Setting,
    of: &[Text],
    (at, room): (Pos2, f32),
) -> f32 {
    let label = menu_label(page, &setting.value, room);
    let button = Button::new(&label)
        .named(format!("{}: {}", name(file, setting), setting.value))
        .enabled(file.locked.is_empty());
    // The focus goes to the same place whether the choices stand side by side or not.
    let id = Choice::id_of(
        control_id(&file.name, &setting.key),
        chosen(setting).unwrap_or(0),
    );
    let response = follow(button.right_of(page.ui, &page.ink, at, id));
    let mut wanted = None;
    Popup::menu(&response)
        .close_behavior(PopupCloseBehavior::CloseOnClick)
        .show(|ui| {
            ui.set_min_width(160.0);
            for each in of {
                if ui
                    .selectable_label(*each == setting.value, &**each)
                    .clicked()
                {
                    wanted = Some(each);
                }
            }
        });
    if let Some(value) = wanted.filter(|value| **value != setting.value) {
        set(page, file, setting, value);
    }
    response.rect.right()
}

/// A value that has to be as short as there is room for; it is whole in the menu.
fn menu_label(page: &Page<'_, '_>, value: &str, room: f32) -> String {
    const MORE: &str = "  ▾";
    let whole = format!("{value}{MORE}");
    let fits = |label: &str| Button::new(label).width(page.ui, &page.ink) <= room;
    if fits(&whole) {
        return whole;
    }
    let ends: Vec<usize> = value.char_indices().map(|(at, _)| at).collect();
    let cut = |at: &usize| format!("{}…{MORE}", &value[..*at]);
    let most = ends.partition_point(|at| fits(&cut(at)));
    ends.get(most.saturating_sub(1)).map_or(whole, cut)
}

fn typed(
    page: &mut Page<'_, '_>,
    file: &SettingsFile,
    setting: &Setting,
    at: Pos2,
    room: f32,
) -> f32 {
    let drafted = drafted(page, file, setting);
    let mut text = drafted.unwrap_or(&setting.value).to_owned();
    let wrong = matches!(verdict(page, file, setting), Some(Verdict::Wrong(_)));
    let unit = 8.0 + paint::width(page.ui.painter(), &setting.unit, &Hand::dim(&page.ink));
    let width = if setting.value.chars().count() > SHORT {
        room
    } else {
        room.min(140.0)
    };
    let height = page.ink.theme.spacing.button;
    let rect = Rect::from_min_size(pos2(at.x, at.y - height / 2.0), vec2(width, height));
    if !file.locked.is_empty() {
        let hand = Hand::new(page.ink.mono(), page.ink.dim);
        page.text(pos2(at.x, at.y), &setting.value, &hand, width);
        return at.x + width;
    }
    let name = name(file, setting);
    let field = Field {
        id: control_id(&file.name, &setting.key),
        hint: "",
        name: &name,
        limit: LIMIT,
        holds: if wrong { Holds::Wrong } else { Holds::Value },
    };
    let response = page.field(field, rect, &mut text);
    if response.changed() {
        page.scene.memory.draft = Some(Draft {
            file: file.name.to_string(),
            key: setting.key.to_string(),
            text: text.clone(),
            entered: false,
        });
        page.scene.actions.push(Action::CheckSetting {
            file: file.name.clone(),
            key: setting.key.clone(),
            value: text.as_str().into(),
        });
    }
    if response.lost_focus() {
        if wrong && page.ui.input(|input| input.key_pressed(Key::Enter)) {
            // It is to be mended where it stands.
            response.request_focus();
        } else if enter(page, file, setting) {
            set(page, file, setting, &text);
        }
    }
    if !setting.unit.is_empty() && rect.right() + unit <= at.x + room + 1.0 {
        let at = pos2(rect.right() + 8.0, at.y);
        page.text(at, &setting.unit, &Hand::dim(&page.ink), unit);
        return at.x + unit;
    }
    rect.right()
}

/// What is typed into it and not saved yet.
fn drafted<'a>(page: &'a Page<'_, '_>, file: &SettingsFile, setting: &Setting) -> Option<&'a str> {
    let draft = page.scene.memory.draft.as_ref()?;
    (*draft.file == *file.name && *draft.key == *setting.key).then_some(&*draft.text)
}

/// What is typed into it is to be saved; true where that is to be asked for, which it is once.
fn enter(page: &mut Page<'_, '_>, file: &SettingsFile, setting: &Setting) -> bool {
    let memory = &mut *page.scene.memory;
    let of_this = |draft: &&mut Draft| *draft.file == *file.name && *draft.key == *setting.key;
    let Some(draft) = memory.draft.as_mut().filter(of_this) else {
        return false;
    };
    if draft.text.trim() == &*setting.value {
        memory.draft = None;
        return false;
    }
    !std::mem::replace(&mut draft.entered, true)
}

/// What the host says about what is typed into it.
fn verdict<'s>(page: &Page<'_, 's>, file: &SettingsFile, setting: &Setting) -> Option<&'s Verdict> {
    let checked = page.scene.picture.settings.checked.as_ref()?;
    let text = drafted(page, file, setting)?;
    let same = checked.file == file.name && checked.key == setting.key && *checked.text == *text;
    same.then_some(&checked.verdict)
}

fn set(page: &mut Page<'_, '_>, file: &SettingsFile, setting: &Setting, value: &str) {
    page.scene.actions.push(Action::SetSetting {
        file: file.name.clone(),
        key: setting.key.clone(),
        value: value.trim().into(),
    });
}

/// The default; where the value is another, a button that takes it back. Gives where it ends.
fn default(
    page: &mut Page<'_, '_>,
    file: &SettingsFile,
    setting: &Setting,
    at: Pos2,
    room: f32,
) -> f32 {
    let shown = match setting.form {
        Form::Flag if &*setting.default == "true" => "on",
        Form::Flag => "off",
        Form::Typed | Form::Choice(_) => &*setting.default,
    };
    if setting.value == setting.default || !file.locked.is_empty() {
        let text = format!("{shown}{}", if page.narrow() { " by default" } else { "" });
        let dim = Hand::dim(&page.ink);
        return page.text(at, &text, &dim, room).rect.right();
    }
    // A default that is too long to be a label is on hover.
    let name = format!("Set {} back to its default, {shown}", name(file, setting));
    let whole = Button::new(shown).turn();
    let button = if whole.width(page.ui, &page.ink) > room {
        Button::new("Default").turn()
    } else {
        whole
    };
    let response = page.button_right_of(button.named(&name), at, "default");
    let right = response.rect.right();
    if response.clicked() {
        page.scene.memory.draft = None;
        set(page, file, setting, &setting.default);
    }
    response.on_hover_text(name);
    right
}

/// What is to be said about the value, on a line of its own.
fn remark(
    page: &mut Page<'_, '_>,
    file: &SettingsFile,
    setting: &Setting,
    columns: Option<&Columns>,
) {
    let ink = page.ink.clone();
    let said: Option<(String, Color32)> = match verdict(page, file, setting) {
        Some(Verdict::Wrong(why)) => Some((why.to_string(), ink.alarm)),
        Some(Verdict::Saving) => Some(("is being saved …".to_owned(), ink.dim)),
        Some(Verdict::Saved) => {
            page.scene.memory.draft = None;
            None
        }
        Some(Verdict::Fine) => Some(("Enter saves it, Esc gives it up".to_owned(), ink.dim)),
        None if drafted(page, file, setting).is_some() => {
            Some(("not saved yet".to_owned(), ink.warn))
        }
        None => setting
            .live
            .as_ref()
            .filter(|live| **live != setting.value)
            .map(|live| (format!("not live: {live} holds now"), ink.warn)),
    };
    let Some((text, colour)) = said else {
        return;
    };
    let left = columns.map_or(page.left + MARK, |columns| columns.value);
    let mut part = page.part(left, page.right, "remark");
    let top = part.y;
    part.paragraph(&text, &Hand::body(&ink).coloured(colour));
    let rect = Rect::from_min_max(pos2(left, top), pos2(part.right, part.y));
    part.say(
        rect,
        "said",
        Role::Status,
        &format!("{}: {text}", setting.key),
    );
    page.y = part.y + 8.0;
}
