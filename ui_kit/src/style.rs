//! What egui itself draws, under the theme: fonts, text fields, scroll bars, tooltips, menus.

use std::collections::BTreeMap;
use std::sync::Arc;

use warden_toolkit::egui::style::{ScrollStyle, Selection, WidgetVisuals};
use warden_toolkit::egui::{
    self, Color32, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Id, Shadow, Stroke,
    Style, TextStyle, Visuals, vec2,
};
use warden_view::{Face, Fonts, Theme};

use crate::ink::{HEADING, Ink};

/// Puts the theme's fonts and egui's own style in place.
pub fn apply(ctx: &egui::Context, theme: &Theme) {
    install_fonts(ctx, theme.fonts);
    // egui's own widgets keep to the two families that are always there: this may be called within
    // a pass, and new fonts are there from the next one on.
    let ink = Ink::with_heading(theme, FontFamily::Proportional);
    ctx.set_theme(if theme.dark {
        egui::Theme::Dark
    } else {
        egui::Theme::Light
    });
    ctx.all_styles_mut(|style| restyle(style, &ink));
}

/// Fonts are set only when they differ from those in place: setting them anew rasterises every
/// glyph again.
fn install_fonts(ctx: &egui::Context, fonts: Fonts) {
    let key = Id::unique("warden fonts");
    let wanted = format!(
        "{}|{}|{}",
        fonts.text.name(),
        fonts.heading.name(),
        fonts.mono.name()
    );
    if ctx.data(|data| data.get_temp::<String>(key)).as_ref() == Some(&wanted) {
        return;
    }
    let mut definitions = FontDefinitions::default();
    for face in Face::ALL {
        let data = Arc::new(FontData::from_static(face.bytes()));
        definitions.font_data.insert(face.name().to_owned(), data);
    }
    let fallback = definitions
        .families
        .get(&FontFamily::Proportional)
        .cloned()
        .unwrap_or_default();
    let roles = [
        (FontFamily::Proportional, fonts.text),
        (FontFamily::Monospace, fonts.mono),
        (FontFamily::Name(HEADING.into()), fonts.heading),
    ];
    for (family, face) in roles {
        let mut names = vec![
            face.name().to_owned(),
            Face::JetBrainsMono.name().to_owned(),
        ];
        names.extend(fallback.iter().cloned());
        definitions.families.insert(family, names);
    }
    ctx.set_fonts(definitions);
    ctx.data_mut(|data| data.insert_temp(key, wanted));
}

fn restyle(style: &mut Style, ink: &Ink<'_>) {
    let sizes = &ink.theme.sizes;
    style.text_styles = BTreeMap::from([
        (
            TextStyle::Small,
            FontId::new(sizes.text, FontFamily::Proportional),
        ),
        (TextStyle::Body, ink.body()),
        (TextStyle::Button, ink.label()),
        (TextStyle::Heading, ink.head()),
        (TextStyle::Monospace, ink.mono()),
    ]);
    // Nothing moves by itself: an animation would keep the window awake.
    style.animation_time = 0.0;
    style.spacing.item_spacing = vec2(ink.theme.spacing.gap, ink.theme.spacing.gap / 2.0);
    style.spacing.tooltip_width = 480.0;
    style.spacing.scroll = ScrollStyle {
        bar_width: 8.0,
        floating_width: 4.0,
        floating_allocated_width: 0.0,
        foreground_color: false,
        dormant_handle_opacity: 1.0,
        active_handle_opacity: 1.0,
        interact_handle_opacity: 1.0,
        ..ScrollStyle::floating()
    };
    style.interaction.tooltip_delay = 0.4;
    style.interaction.selectable_labels = false;
    style.visuals = visuals(ink);
}

fn visuals(ink: &Ink<'_>) -> Visuals {
    let mut visuals = if ink.theme.dark {
        Visuals::dark()
    } else {
        Visuals::light()
    };
    let corner = corner(ink);
    visuals.override_text_color = None;
    visuals.weak_text_color = Some(ink.dim);
    visuals.hyperlink_color = ink.accent;
    visuals.faint_bg_color = ink.row_hovered;
    visuals.extreme_bg_color = ink.field;
    visuals.text_edit_bg_color = Some(ink.field);
    visuals.code_bg_color = ink.field;
    visuals.warn_fg_color = ink.warn;
    visuals.error_fg_color = ink.alarm;
    visuals.panel_fill = ink.ground;
    visuals.window_fill = ink.panel;
    visuals.window_stroke = ink.outline(ink.line_strong);
    visuals.window_corner_radius = corner;
    visuals.menu_corner_radius = corner;
    visuals.window_shadow = Shadow::NONE;
    visuals.popup_shadow = Shadow::NONE;
    visuals.selection = Selection {
        bg_fill: ink.pressed,
        stroke: ink.strong(ink.accent),
    };
    visuals.text_cursor.blink = false;
    visuals.text_cursor.stroke = ink.strong(ink.accent);
    let widget = |fill: Color32, line: Stroke, text: Color32| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: line,
        corner_radius: corner,
        fg_stroke: Stroke::new(ink.theme.shape.line, text),
        expansion: 0.0,
    };
    // The scroll bar's handle takes `bg_fill` of these: it must be seen on a panel.
    visuals.widgets.noninteractive = widget(ink.panel, ink.rule(), ink.text);
    visuals.widgets.inactive = widget(ink.line, ink.outline(ink.line_strong), ink.text);
    visuals.widgets.hovered = widget(ink.line_strong, ink.outline(ink.accent), ink.text);
    visuals.widgets.active = widget(ink.accent, ink.strong(ink.accent), ink.text);
    visuals.widgets.open = widget(ink.raised, ink.outline(ink.line_strong), ink.text);
    visuals
}

/// The theme's corners, for what egui draws.
pub fn corner(ink: &Ink<'_>) -> CornerRadius {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a theme's rounding is 0 to 240"
    )]
    CornerRadius::same(ink.theme.shape.rounding.round() as u8)
}
