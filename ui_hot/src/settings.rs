//! What can be set: every key with its value, what holds, its default, range and meaning. A value is
//! checked by the host as it is typed, and saved when it is entered.

mod row;

use warden_toolkit::egui::{Id, Rect, Role, Ui, pos2};
use warden_view::{Action, Form, Setting, SettingsFile};

use crate::choice::Choice;
use crate::control::Button;
use crate::page::{self, LINE, Page};
use crate::paint::{self, Hand};
use crate::scene::Scene;

/// From this width on a setting is a row of a table.
const TABLE: f32 = 900.0;

pub(crate) fn show(ui: &mut Ui, body: Rect, scene: &mut Scene<'_>) {
    page::scrolled(ui, body, scene, "settings", files);
}

/// Where a setting is edited: what the focus goes to. Independent of where the panel stands.
fn control_id(file: &str, key: &str) -> Id {
    Id::unique("warden setting").with((file, key))
}

/// Whether this is a field of a setting, where keys are typed.
pub(crate) fn is_field(scene: &Scene<'_>, id: Id) -> bool {
    all(scene).any(|(file, setting)| {
        setting.form == Form::Typed && control_id(&file.name, &setting.key) == id
    })
}

/// Gives the keyboard to a setting, by its place among all of them.
pub(crate) fn focus(ui: &Ui, scene: &Scene<'_>, place: usize) {
    let Some((file, setting)) = all(scene).nth(place) else {
        return;
    };
    let control = control_id(&file.name, &setting.key);
    let id = match &setting.form {
        Form::Typed => control,
        Form::Flag | Form::Choice(_) => Choice::id_of(control, row::chosen(setting).unwrap_or(0)),
    };
    ui.ctx().memory_mut(|memory| memory.request_focus(id));
}

fn all<'a>(scene: &Scene<'a>) -> impl Iterator<Item = (&'a SettingsFile, &'a Setting)> {
    let files = scene.picture.settings.files.iter();
    files.flat_map(|file| file.keys.iter().map(move |setting| (file, setting)))
}

fn files(page: &mut Page<'_, '_>) {
    let files = &page.scene.picture.settings.files;
    if files.is_empty() {
        page.y += 12.0;
        let text = "Settings appear here once the folder of configuration is known: start the \
                    window with --config-dir DIR.";
        page.paragraph(text, &Hand::dim(&page.ink));
        return;
    }
    let came_up = came_up(page, files);
    for (at, file) in files.iter().enumerate() {
        let top = page.y;
        let mut part = page.part(page.left, page.right, &file.name);
        self::file(&mut part, file);
        page.y = part.y + 12.0;
        if came_up == Some(at) {
            page.reveal(top);
        }
    }
}

/// The file that has broken since the panel was drawn last.
fn came_up(page: &Page<'_, '_>, files: &[SettingsFile]) -> Option<usize> {
    let fault = |file: &SettingsFile| {
        let is_broken = !file.locked.is_empty() && !file.path.is_empty();
        is_broken.then(|| page::fault_of(&(&file.name, &file.locked)))
    };
    page.came_up(files.iter().map(fault))
}

fn file(page: &mut Page<'_, '_>, file: &SettingsFile) {
    page.y += 8.0;
    head(page, file);
    let dim = Hand::dim(&page.ink);
    if !file.note.is_empty() {
        page.paragraph(&file.note, &dim);
        page.y += 4.0;
    }
    if !file.locked.is_empty() {
        let alarm = page.ink.alarm;
        page.block(alarm, true, |page| {
            let hand = Hand::body(&page.ink);
            page.paragraph(&file.locked, &hand);
        });
        page.y += 4.0;
    }
    let columns = Columns::within(page);
    if let Some(columns) = &columns {
        columns.heads(page);
    }
    for setting in file.keys.iter() {
        let mut part = page.part(page.left, page.right, &setting.key);
        row::show(&mut part, file, setting, columns.as_ref());
        page.y = part.y;
    }
}

/// Whose settings these are, where they lie, and the way into the editor.
fn head(page: &mut Page<'_, '_>, file: &SettingsFile) {
    let rect = page.line(page.ink.theme.spacing.button.max(LINE));
    let y = rect.center().y;
    let ink = page.ink.clone();
    let mut right = rect.right();
    if !file.path.is_empty() {
        let open = Button::new("Open in editor").named(format!("Open {} in the editor", file.name));
        let response = page.button_left_of(open, rect.right_center(), "open");
        right = response.rect.left() - 14.0;
        if response.clicked() {
            let module = file.name.clone();
            page.scene.actions.push(Action::EditFile { module });
        }
    }
    let hand = Hand::head(&ink, ink.accent);
    let set = paint::left(page.ui.painter(), rect.left_center(), &file.title, &hand);
    page.say(set, "head", Role::Heading, &file.title);
    let at = pos2(set.right() + 14.0, y + 1.0);
    let mono = Hand::new(ink.mono(), ink.dim);
    page.text(at, &file.path, &mono, right - at.x);
    page.y += 6.0;
}

/// Where the parts of a setting stand in the table.
struct Columns {
    value: f32,
    default: f32,
    range: f32,
    meaning: f32,
}

impl Columns {
    /// None where there is no room for a table.
    fn within(page: &Page<'_, '_>) -> Option<Self> {
        if page.width() < TABLE {
            return None;
        }
        let wide = page.width() >= 1_400.0;
        let value = page.left + if wide { 230.0 } else { 196.0 };
        let default = value + row::VALUE + if wide { 40.0 } else { 14.0 };
        let range = default + 116.0;
        let meaning = range + if wide { 220.0 } else { 186.0 };
        Some(Self {
            value,
            default,
            range,
            meaning,
        })
    }

    fn heads(&self, page: &mut Page<'_, '_>) {
        let rect = page.line(LINE);
        let hand = Hand::label(&page.ink, page.ink.dim);
        let heads = [
            (page.left + row::MARK, "Setting"),
            (self.value, "Value"),
            (self.default, "Default"),
            (self.range, "Range"),
            (self.meaning, "Meaning"),
        ];
        for (x, head) in heads {
            paint::left(page.ui.painter(), pos2(x, rect.center().y), head, &hand);
        }
        row::rule(page);
    }
}
