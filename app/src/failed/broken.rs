//! Files whose newest content is not taken: a banner of the same family as that of failed code, and
//! smaller, since what held before goes on.

use warden_reload::files::Fault;
use warden_toolkit::egui::{
    self, Align, Id, Label, Layout, Order, Rect, RichText, Role, Ui, UiBuilder, pos2, vec2,
};
use warden_view::{Action, Text};

use super::{HEAD_HEIGHT, LINE_HEIGHT, PAD, Shown, TEXT_SIZE, button, colour, frame_of, head_font};

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
    let (module, fault) = shown.broken.faults.first()?;
    let window = ui.max_rect();
    let gap = shown.theme.spacing.gap;
    let height = gap + HAZARD + HEAD_HEIGHT + LINE_HEIGHT + PAD;
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
                told(ui, shown, module, fault, actions);
            });
        });
    Some(place.bottom())
}

fn told(ui: &mut Ui, shown: &Shown<'_>, module: &str, fault: &Fault, actions: &mut Vec<Action>) {
    let colours = &shown.theme.colours;
    ui.horizontal(|ui| {
        ui.set_height(HEAD_HEIGHT - PAD);
        let words = RichText::new(format!("FILE NOT TAKEN  {module}")).font(head_font(ui.ctx()));
        ui.label(words.color(colour(colours.alarm)))
            .on_hover_text(fault.path.display().to_string());
        ui.label(
            RichText::new(place(fault))
                .size(TEXT_SIZE)
                .color(colour(colours.text)),
        );
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let open = button(ui, shown.theme, "OPEN IN EDITOR");
            open.widget_info(|| {
                egui::WidgetInfo::labeled(
                    Role::Button,
                    true,
                    format!("Open {module} in the editor"),
                )
            });
            if open.clicked() {
                actions.push(Action::OpenEditor {
                    file: fault.path.display().to_string().into(),
                    line: fault.line.unwrap_or(1),
                    column: fault.column.unwrap_or(1),
                });
            }
            let words = RichText::new(goes_on(shown)).size(TEXT_SIZE);
            ui.add(Label::new(words.color(colour(colours.dim))).truncate());
        });
    });
    let message = RichText::new(&fault.message)
        .size(TEXT_SIZE)
        .color(colour(colours.text));
    // One that does not fit is whole on hover.
    ui.add(Label::new(message).truncate());
}

/// `line 12, column 9`.
fn place(fault: &Fault) -> String {
    match (fault.line, fault.column) {
        (Some(line), Some(column)) => format!("line {line}, column {column}"),
        (Some(line), None) => format!("line {line}"),
        (None, _) => String::new(),
    }
}

fn goes_on(shown: &Shown<'_>) -> String {
    let goes_on = "what it said before goes on";
    match shown.broken.faults.len() - 1 {
        0 => goes_on.to_owned(),
        1 => format!("{goes_on}, and 1 more file is broken"),
        more => format!("{goes_on}, and {more} more files are broken"),
    }
}
