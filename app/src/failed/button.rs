//! The host's own buttons. They look as those of the hot code do, which may be what failed: the same
//! face, the same measures, the same tokens.

use warden_toolkit::egui::{
    self, Align2, Color32, CursorIcon, FontId, Rect, Role, Sense, Stroke, StrokeKind, TextFormat,
    Ui, WidgetInfo, pos2, text::LayoutJob, vec2,
};
use warden_view::Theme;

use super::{colour, heading_face};

const PAD: f32 = 10.0;
const CAP_GAP: f32 = 6.0;
const CAP_HEIGHT: f32 = 18.0;
const LETTER_SPACING: f32 = 0.6;

/// A button about to be placed.
#[derive(Debug)]
pub(super) struct Button<'a> {
    pub label: &'a str,
    /// What it does to what, for who cannot see it.
    pub name: String,
    /// The key that does the same; may be empty.
    pub cap: &'a str,
    /// It is what helps most.
    pub primary: bool,
}

impl Button<'_> {
    /// In the layout of `ui`. True when it was pressed.
    pub fn show(&self, ui: &mut Ui, theme: &Theme) -> bool {
        let ink = colour(if self.primary {
            theme.colours.accent
        } else {
            theme.colours.text
        });
        let label = ui.painter().layout_job(self.label_job(ui, theme, ink));
        let cap_font = FontId::monospace(theme.sizes.text - 2.0);
        let dim = colour(theme.colours.dim);
        let cap = ui
            .painter()
            .layout_no_wrap(self.cap.to_owned(), cap_font, dim);
        let cap_width = match self.cap.is_empty() {
            true => 0.0,
            false => (cap.size().x + 10.0).ceil(),
        };
        let more = if cap_width > 0.0 {
            CAP_GAP + cap_width - 2.0
        } else {
            0.0
        };
        let size = vec2(
            (2.0 * PAD + label.size().x + more).ceil(),
            theme.spacing.button,
        );
        let (rect, response) = ui.allocate_exact_size(size, Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &self.name));
        self.surface(ui, theme, rect, &response);
        let y = rect.center().y;
        let at = Align2::LEFT_CENTER.anchor_size(pos2(rect.left() + PAD, y), label.size());
        let end = at.right();
        ui.painter().galley(at.min, label, ink);
        if cap_width > 0.0 {
            let place = Rect::from_min_size(
                pos2(end + CAP_GAP, y - CAP_HEIGHT / 2.0),
                vec2(cap_width, CAP_HEIGHT),
            );
            let line = colour(theme.colours.line_strong).gamma_multiply(0.6);
            let line = Stroke::new(theme.shape.line, line);
            let corner = theme.shape.rounding.min(4.0);
            ui.painter()
                .rect_stroke(place, corner, line, StrokeKind::Inside);
            let at = Align2::CENTER_CENTER.anchor_size(place.center(), cap.size());
            ui.painter().galley(at.min, cap, dim);
        }
        response.on_hover_cursor(CursorIcon::PointingHand).clicked()
    }

    fn label_job(&self, ui: &Ui, theme: &Theme, ink: Color32) -> LayoutJob {
        let format = TextFormat {
            font_id: FontId::new(theme.sizes.label, heading_face(ui.ctx())),
            color: ink,
            extra_letter_spacing: LETTER_SPACING,
            ..TextFormat::default()
        };
        LayoutJob::single_section(self.label.to_uppercase(), format)
    }

    fn surface(&self, ui: &Ui, theme: &Theme, rect: Rect, response: &egui::Response) {
        let colours = &theme.colours;
        let fill = if response.is_pointer_button_down_on() {
            colours.pressed
        } else if response.hovered() {
            colours.hovered
        } else {
            colours.raised
        };
        let line = match self.primary {
            true => colour(colours.accent),
            false => colour(colours.line_strong).gamma_multiply(0.7),
        };
        let (corner, line) = (theme.shape.rounding, Stroke::new(theme.shape.line, line));
        let painter = ui.painter();
        painter.rect(rect, corner, colour(fill), line, StrokeKind::Inside);
        if response.has_focus() {
            let ring = Stroke::new(theme.shape.strong, colour(colours.text));
            painter.rect_stroke(rect.expand(2.0), corner, ring, StrokeKind::Inside);
        }
    }
}
