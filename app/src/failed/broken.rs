//! Files whose newest content is not taken: a banner of the same family as that of failed code, and
//! smaller, since what held before goes on.

use std::sync::Arc;

use warden_reload::files::Fault;
use warden_toolkit::egui::{
    self, Align, Galley, Id, Label, Layout, Order, Rect, RichText, Ui, UiBuilder, pos2, vec2,
};
use warden_view::{Action, Text};

use super::button::Button;
use super::{PAD, Shown, TEXT_SIZE, TITLE_GAP, colour, frame_of, head_font, lines_of, stripes_of};

/// The height of the stripes, and half their distance.
const HAZARD: f32 = 4.0;

/// What is broken, the newest first.
#[derive(Debug, Default)]
pub struct Broken {
    /// By module.
    faults: Vec<(Text, Fault)>,
}

impl Broken {
    /// These are the faults now; true where they are others than before.
    pub fn now(&mut self, faults: Vec<(Text, Fault)>) -> bool {
        let before = self.faults.len();
        self.faults.retain(|known| faults.contains(known));
        let mut changed = self.faults.len() != before;
        for fault in faults {
            if !self.faults.contains(&fault) {
                self.faults.insert(0, fault);
                changed = true;
            }
        }
        changed
    }
}

/// Draws the banner below this height, if a file is broken, and says how far down it reaches.
pub(super) fn banner(
    ui: &mut Ui,
    top: f32,
    shown: &Shown<'_>,
    actions: &mut Vec<Action>,
) -> Option<f32> {
    let faults = &shown.broken.faults;
    let (module, fault) = faults.first()?;
    let window = ui.max_rect();
    let gap = shown.theme.spacing.gap;
    let width = window.width() - 2.0 * (gap + PAD);
    let text = match faults.as_slice() {
        [_] => fault.message.clone(),
        _ => format!("{module}, {}: {}", place(fault), fault.message),
    };
    let text = lines_of(ui, &text, shown.theme.colours.text, width);
    let said = shown.theme.spacing.button + TITLE_GAP + text.size().y;
    let height = gap + stripes_of(shown.theme, HAZARD) + PAD + said + PAD / 2.0;
    let height = height.min(window.height() / 3.0);
    let place = Rect::from_min_size(pos2(window.left(), top), vec2(window.width(), height));
    let ground = colour(shown.theme.colours.ground);
    // As with the other banner: an area's first pass paints nothing.
    ui.painter().rect_filled(place, 0.0, ground);
    egui::Area::new(Id::unique("warden file banner"))
        .order(Order::Debug)
        .fixed_pos(place.min)
        .constrain(false)
        .show(ui.ctx(), |ui| {
            ui.set_min_size(place.size());
            ui.painter().rect_filled(place, 0.0, ground);
            let mut frame = place.shrink(gap);
            frame.max.y = place.bottom();
            let inner = frame_of(ui, frame, shown.theme, HAZARD, shown.theme.shape.line);
            let inner = inner.shrink2(vec2(PAD, PAD / 2.0));
            ui.scope_builder(UiBuilder::new().max_rect(inner), |ui| {
                told(ui, shown, (module, fault), text, actions);
            });
        });
    Some(place.bottom())
}

fn told(
    ui: &mut Ui,
    shown: &Shown<'_>,
    (module, fault): (&str, &Fault),
    text: Arc<Galley>,
    actions: &mut Vec<Action>,
) {
    let colours = &shown.theme.colours;
    let faults = &shown.broken.faults;
    ui.spacing_mut().item_spacing.y = TITLE_GAP;
    ui.horizontal(|ui| {
        ui.set_height(shown.theme.spacing.button);
        let words = RichText::new(heading(faults)).font(head_font(ui.ctx()));
        ui.label(words.color(colour(colours.alarm)))
            .on_hover_text(fault.path.display().to_string());
        if faults.len() == 1 {
            let words = RichText::new(place(fault)).size(TEXT_SIZE);
            ui.label(words.color(colour(colours.text)));
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let open = Button {
                label: "Open in editor",
                name: format!("Open {module} in the editor"),
                cap: "",
                primary: true,
            };
            if open.show(ui, shown.theme) {
                actions.push(Action::OpenEditor {
                    file: fault.path.display().to_string().into(),
                    line: fault.line.unwrap_or(1),
                    column: fault.column.unwrap_or(1),
                });
            }
            let goes_on = match faults.as_slice() {
                [_] => "what it said before goes on",
                _ => "what they said before goes on",
            };
            let words = RichText::new(goes_on).size(TEXT_SIZE);
            ui.add(Label::new(words.color(colour(colours.dim))).truncate());
        });
    });
    let whole = text.elided.then(|| text.text().to_owned());
    let label = ui.add(Label::new(text));
    if let Some(whole) = whole {
        label.on_hover_text(whole);
    }
}

/// Which files, by name.
fn heading(faults: &[(Text, Fault)]) -> String {
    let names: Vec<&str> = faults.iter().map(|(module, _)| &**module).collect();
    match names.as_slice() {
        [one] => format!("FILE NOT TAKEN  {one}"),
        many => format!("{} FILES NOT TAKEN: {}", many.len(), many.join(", ")),
    }
}

/// `line 12, column 9`.
fn place(fault: &Fault) -> String {
    match (fault.line, fault.column) {
        (Some(line), Some(column)) => format!("line {line}, column {column}"),
        (Some(line), None) => format!("line {line}"),
        (None, _) => String::new(),
    }
}
