//! The banner of failed code: which modules, at what, what runs on, and what helps.

use std::sync::Arc;

use warden_reload::{Failure, Stage};
use warden_toolkit::egui::{
    self, Align, Galley, Id, Label, Layout, Order, Rect, RichText, Ui, UiBuilder, vec2,
};
use warden_view::{Action, Theme};

use super::button::Button;
use super::{
    LINE_HEIGHT, PAD, Shown, TEXT_SIZE, TITLE_GAP, colour, frame_of, head_font, lines_of, message,
    stripes_of,
};
use crate::hot::{Failed, Remedy};

/// Lines of the message that the banner shows without scrolling; the reload panel has all of it.
const LINES: usize = 6;
/// The height of the stripes, and half their distance.
const HAZARD: f32 = 8.0;
/// Of more modules than this, the rest is in the reload panel.
const TOLD: usize = 3;

/// What the banner says, set for its width.
struct Said {
    head: String,
    runs_on: String,
    /// What runs on has no room beside the buttons.
    runs_on_below: bool,
    titles: Vec<Arc<Galley>>,
    excerpt: String,
}

impl Said {
    fn of(ui: &Ui, shown: &Shown<'_>, width: f32) -> Self {
        let failed = &shown.failed;
        let (head, runs_on) = (heading(failed), runs_on(failed));
        let words = |text: &str, font: egui::FontId| {
            let dim = colour(shown.theme.colours.dim);
            let galley = ui.painter().layout_no_wrap(text.to_owned(), font, dim);
            galley.size().x
        };
        let taken = words(&head, head_font(ui.ctx())) + BUTTONS;
        let wanted = words(&runs_on, egui::FontId::proportional(TEXT_SIZE));
        let ink = shown.theme.colours.text;
        let titles = titles(failed);
        let titles = titles.iter().map(|title| lines_of(ui, title, ink, width));
        Self {
            runs_on_below: taken + wanted > width,
            head,
            runs_on,
            titles: titles.collect(),
            // Of several that failed each in its way there is no room for all that was said.
            excerpt: match (
                failed.first(),
                failed.iter().all(|one| same(&failed[0], one)),
            ) {
                (Some(first), true) => excerpt(&first.failure),
                _ => String::new(),
            },
        }
    }

    /// What all of it takes within the frame.
    fn height(&self, theme: &Theme) -> f32 {
        let titles = self.titles.iter().map(|title| TITLE_GAP + title.size().y);
        let below = match self.runs_on_below {
            true => TITLE_GAP + LINE_HEIGHT,
            false => 0.0,
        };
        let more = match self.excerpt.lines().count() {
            0 => 0.0,
            lines => TITLE_GAP + lines as f32 * LINE_HEIGHT,
        };
        theme.spacing.button + titles.sum::<f32>() + below + more
    }
}

/// What the buttons take at most.
const BUTTONS: f32 = 300.0;

pub(super) fn banner(ui: &mut Ui, shown: &Shown<'_>, actions: &mut Vec<Action>) -> Option<f32> {
    if shown.failed.is_empty() {
        return None;
    }
    let window = ui.max_rect();
    let gap = shown.theme.spacing.gap;
    let said = Said::of(ui, shown, window.width() - 2.0 * (gap + PAD));
    let height = gap + stripes_of(shown.theme, HAZARD) + PAD + said.height(shown.theme) + PAD / 2.0;
    let height = height.min(window.height() / 2.0);
    let place = Rect::from_min_size(window.min, vec2(window.width(), height));
    // An area's first pass only finds its size and paints nothing: one frame without the banner, which
    // shall not be one with a hole.
    ui.painter()
        .rect_filled(place, 0.0, colour(shown.theme.colours.ground));
    egui::Area::new(Id::unique("warden reload banner"))
        .order(Order::Debug)
        .fixed_pos(place.min)
        .constrain(false)
        .show(ui.ctx(), |ui| {
            ui.set_min_size(place.size());
            ui.painter()
                .rect_filled(place, 0.0, colour(shown.theme.colours.ground));
            let mut frame = place.shrink(gap);
            frame.max.y = place.bottom();
            let inner = frame_of(ui, frame, shown.theme, HAZARD, shown.theme.shape.strong);
            let inner = inner.shrink2(vec2(PAD, PAD / 2.0));
            ui.scope_builder(UiBuilder::new().max_rect(inner), |ui| {
                tell(ui, shown, said, actions);
            });
        });
    Some(place.bottom())
}

fn tell(ui: &mut Ui, shown: &Shown<'_>, said: Said, actions: &mut Vec<Action>) {
    let colours = &shown.theme.colours;
    ui.spacing_mut().item_spacing.y = TITLE_GAP;
    let runs_on = || {
        let words = RichText::new(&said.runs_on).size(TEXT_SIZE);
        // One that does not fit is whole on hover.
        Label::new(words.color(colour(colours.dim))).truncate()
    };
    ui.horizontal(|ui| {
        ui.set_height(shown.theme.spacing.button);
        let words = RichText::new(&said.head).font(head_font(ui.ctx()));
        ui.label(words.color(colour(colours.alarm)));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            buttons(ui, shown, actions);
            if !said.runs_on_below {
                ui.add(runs_on());
            }
        });
    });
    for title in said.titles {
        let whole = title.elided.then(|| title.text().to_owned());
        let label = ui.add(Label::new(title));
        if let Some(whole) = whole {
            label.on_hover_text(whole);
        }
    }
    if said.runs_on_below {
        ui.add(runs_on());
    }
    if !said.excerpt.is_empty() {
        message(ui, shown.theme, &said.excerpt, "banner message");
    }
}

/// What failed: at which stage, where it is one; else how many, and which.
pub(super) fn heading(failed: &[Failed]) -> String {
    match failed {
        [] => String::new(),
        [one] => format!("{}  {}", stage(one.failure.stage), one.failure.module),
        many => {
            let names: Vec<&str> = many.iter().map(|one| one.failure.module.as_str()).collect();
            format!("{} MODULES FAILED: {}", many.len(), names.join(", "))
        }
    }
}

/// What each failed with, once where it is the same of all.
fn titles(failed: &[Failed]) -> Vec<String> {
    match failed {
        [] => Vec::new(),
        [first, rest @ ..] if rest.iter().all(|one| same(first, one)) => vec![headline(first)],
        many => {
            let told = many.iter().take(TOLD).map(|one| {
                let Failure { module, stage, .. } = &one.failure;
                format!("{module}, at {stage}: {}", headline(one))
            });
            told.collect()
        }
    }
}

fn same(one: &Failed, other: &Failed) -> bool {
    one.failure.stage == other.failure.stage
        && one.failure.title == other.failure.title
        && one.failure.place == other.failure.place
        && one.remedy == other.remedy
}

/// What failed and where, in one sentence: the compiler's own where the message begins with it; and
/// what to do about it, where that is known.
pub(super) fn headline(failed: &Failed) -> String {
    let failure = &failed.failure;
    let first = failure.message.lines().next().unwrap_or_default();
    let title = match first.contains(&failure.title) {
        true => first,
        false => &failure.title,
    };
    let title = match &failure.place {
        Some(place) => format!("{place}  {title}"),
        None => title.to_owned(),
    };
    match failed.remedy.advice() {
        Some(advice) => format!("{title}; {advice}"),
        None => title,
    }
}

/// The lines of a message that the banner has room for.
fn excerpt(failure: &Failure) -> String {
    unsaid(failure).take(LINES).collect::<Vec<_>>().join("\n")
}

/// The lines of a message without those that its headline has said.
pub(super) fn unsaid(failure: &Failure) -> impl Iterator<Item = &str> {
    let place = failure.place.as_ref().map(ToString::to_string);
    let said = move |line: &&str| {
        let words = line.trim();
        words.is_empty()
            || words.contains(&failure.title)
            || failure.title.ends_with(words)
            || words.starts_with("-->")
            || place.as_ref().is_some_and(|place| words.ends_with(place))
    };
    failure.message.lines().skip_while(said)
}

/// What goes on in spite of it.
fn runs_on(failed: &[Failed]) -> String {
    match failed {
        [one] => match one.running {
            Some(number) => format!("generation {number:02} goes on, nothing was lost"),
            None => "no generation runs".to_owned(),
        },
        many => {
            let each = many.iter().map(|one| match one.running {
                Some(number) => format!("{} {number:02}", one.failure.module),
                None => format!("nothing of {}", one.failure.module),
            });
            let each: Vec<String> = each.collect();
            format!("what goes on: {}", each.join(", "))
        }
    }
}

/// What can help, and nothing else; what helps most is lit.
pub(super) fn buttons(ui: &mut Ui, shown: &Shown<'_>, actions: &mut Vec<Action>) {
    let offer = Offer::of(&shown.failed);
    if offer.reload {
        reload(ui, shown, true, actions);
    }
    if offer.restart && shown.picture.reload.restart.is_none() {
        let restart = Button {
            label: "Warm restart",
            name: "Warm restart the window".to_owned(),
            cap: "Ctrl+Alt+W",
            primary: !offer.reload,
        };
        if restart.show(ui, shown.theme) {
            actions.push(Action::WarmRestart);
        }
    }
    let mut places = shown
        .failed
        .iter()
        .filter_map(|one| one.failure.place.as_ref());
    if let Some(place) = places.next() {
        let open = Button {
            label: "Open in editor",
            name: format!("Open {place} in the editor"),
            cap: "",
            primary: false,
        };
        if open.show(ui, shown.theme) {
            let (line, column) = (place.line, place.column);
            let file = place.file.as_str().into();
            actions.push(Action::OpenEditor { file, line, column });
        }
    }
}

/// What is offered after these failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offer {
    reload: bool,
    restart: bool,
}

impl Offer {
    fn of(failed: &[Failed]) -> Self {
        let any = |wanted: &[Remedy]| failed.iter().any(|one| wanted.contains(&one.remedy));
        Self {
            reload: failed.is_empty() || any(&[Remedy::Reload, Remedy::Rebuild, Remedy::Reinstall]),
            restart: any(&[Remedy::Restart]),
        }
    }
}

pub(super) fn reload(ui: &mut Ui, shown: &Shown<'_>, primary: bool, actions: &mut Vec<Action>) {
    let under_way = shown
        .stage_now()
        .map(|stage| format!("Reload again: {stage} …"));
    let button = Button {
        label: under_way.as_deref().unwrap_or("Reload"),
        name: "Reload all modules".to_owned(),
        cap: "Ctrl+Alt+R",
        primary,
    };
    if button.show(ui, shown.theme) {
        actions.push(Action::Reload);
    }
}

pub(super) fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Build => "RELOAD FAILED AT BUILD",
        Stage::Load => "RELOAD FAILED AT LOAD",
        Stage::Check => "RELOAD FAILED AT CHECK",
        Stage::Migrate => "RELOAD FAILED AT MIGRATE",
        Stage::Rehearse => "RELOAD FAILED AT REHEARSE",
        Stage::Swap => "RELOAD FAILED AT SWAP",
        Stage::Probation => "RELOAD FAILED AT PROBATION",
        Stage::Trusted => "PANIC WHILE DRAWING",
    }
}
