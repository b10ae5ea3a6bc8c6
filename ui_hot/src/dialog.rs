//! Dialogs: what ends something of somebody's says to whom and asks; the sheet of keys.
//! Escape steps back and never acts; the focus begins on the way back.

use ui_kit::keys::pressed;
use warden_toolkit::egui::{
    self, Align2, Color32, Frame, Id, Key, Modal, Modifiers, Pos2, Rect, Role, Sense, Ui,
    WidgetInfo, pos2, vec2,
};
use warden_view::{Action, Dialog, Text};

use crate::control::{self, Button, Weight};
use crate::keys::SHEET;
use crate::paint::{self, Hand};
use crate::scene::Scene;
use crate::words;

const WIDTH: f32 = 560.0;
const PAD: f32 = 24.0;

/// What a dialog says and does.
struct Ask {
    title: String,
    /// What will happen, to whom.
    text: String,
    /// Those that it will happen to, one a line.
    who: Vec<String>,
    verb: &'static str,
    action: Option<Action>,
    /// The tick box about the waiters: their number, and whether it is ticked.
    clear_queue: Option<(usize, bool)>,
    alarm: bool,
}

impl Ask {
    /// What will happen and to whom, as a screen reader says it.
    fn spoken(&self) -> String {
        let mut spoken = self.text.clone();
        for name in self.who.iter().take(NAMED) {
            spoken = format!("{spoken} {name}.");
        }
        if self.who.len() > NAMED {
            spoken = format!("{spoken} And {} more.", self.who.len() - NAMED);
        }
        spoken
    }
}

pub(crate) fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    let Some(dialog) = scene.memory.dialog.clone() else {
        return;
    };
    if !scene.acting && dialog != Dialog::Keys {
        // A broker that is gone is offered no action.
        scene.memory.dialog = None;
        return;
    }
    let ask = match &dialog {
        Dialog::Keys => None,
        Dialog::Release(lease) => Some(release(scene, lease)),
        Dialog::ForceAll { clear_queue } => Some(force_all(scene, *clear_queue)),
        Dialog::Cancel(request) => Some(cancel(scene, request)),
        Dialog::Reset => Some(reset()),
    };
    let id = Id::unique("warden dialog");
    // In the middle of what the host's banner leaves.
    let aside = ui.max_rect().center() - ui.ctx().content_rect().center();
    let modal = Modal::new(id)
        .area(Modal::default_area(id).anchor(Align2::CENTER_CENTER, aside))
        .frame(Frame::NONE)
        .backdrop_color(scene.live.veil);
    let response = modal.show(ui.ctx(), |ui| match ask {
        None => sheet(ui, scene),
        Some(ask) => question(ui, scene, &ask, &dialog),
    });
    let escape = pressed(ui, Modifiers::NONE, Key::Escape);
    if escape || response.backdrop_response.clicked() {
        close(ui, scene);
    }
}

fn close(ui: &Ui, scene: &mut Scene<'_>) {
    scene.memory.dialog = None;
    ui.ctx()
        .data_mut(|data| data.remove_temp::<String>(opened_id()));
}

fn opened_id() -> Id {
    Id::unique("warden dialog opened")
}

fn release(scene: &Scene<'_>, lease: &str) -> Ask {
    let gone = Ask {
        title: "This lease has ended".to_owned(),
        text: "It ended before you answered. Nothing is left to release.".to_owned(),
        who: Vec::new(),
        verb: "Release",
        action: None,
        clear_queue: None,
        alarm: false,
    };
    let Some(holder) = scene.holder(lease) else {
        return gone;
    };
    let on = scene.gpu_labels(&holder.gpus);
    let held = words::span(scene.now - holder.granted_ms);
    let process = holder
        .pid
        .map_or_else(String::new, |pid| format!(" (pid {pid})"));
    let next = scene
        .picture
        .queue
        .iter()
        .find(|waiter| waiter.why.holders.contains(&holder.lease));
    let next = next.map_or_else(
        || format!("Nobody waits for {on}."),
        |waiter| format!("{} waits for it.", waiter.client),
    );
    Ask {
        title: format!("Release {on}?"),
        text: format!(
            "Ends the lease of {}{process} by force: it has held {on} for {held} and is not asked. \
             A command under warden run is ended with exit code 76. {next}",
            holder.client
        ),
        action: Some(Action::Release {
            lease: holder.lease.clone(),
        }),
        alarm: true,
        ..gone
    }
}

fn force_all(scene: &Scene<'_>, clear_queue: bool) -> Ask {
    let holders = &scene.picture.holders;
    let who = crate::holders::in_order(scene)
        .into_iter()
        .map(|holder| {
            let held = words::span(scene.now - holder.granted_ms);
            format!(
                "{} on {}, held {held}",
                holder.client,
                scene.gpus_marked(&holder.gpus)
            )
        })
        .collect();
    let waiting = scene.picture.queue.len();
    let ended = words::counted(holders.len(), "lease", "leases");
    let after = match (waiting, clear_queue) {
        (0, _) => "Nobody waits.".to_owned(),
        (_, true) => {
            let waiters = words::counted(waiting, "waiter is", "waiters are");
            format!("{waiters} refused too.")
        }
        (_, false) => "Who waits is served at once.".to_owned(),
    };
    Ask {
        title: "Force all leases to end?".to_owned(),
        text: format!("Ends {ended} by force, without asking the holders. {after}"),
        who,
        verb: "Force all",
        action: Some(Action::ForceAll { clear_queue }),
        clear_queue: (waiting > 0).then_some((waiting, clear_queue)),
        alarm: true,
    }
}

fn cancel(scene: &Scene<'_>, request: &str) -> Ask {
    let gone = Ask {
        title: "This request waits no more".to_owned(),
        text: "It was granted or ended before you answered.".to_owned(),
        who: Vec::new(),
        verb: "Cancel it",
        action: None,
        clear_queue: None,
        alarm: false,
    };
    let Some((place, waiter)) = scene.waiter(request) else {
        return gone;
    };
    let waited = words::span(scene.now - waiter.arrived_ms);
    Ask {
        title: format!("Cancel waiter {}?", words::number(place as u64)),
        text: format!(
            "Ends the request of {}: it has waited {waited} and loses its place. A command under \
             warden run never starts; it ends with exit code 75.",
            waiter.client
        ),
        who: vec![request.to_owned()],
        action: Some(Action::Cancel {
            request: Text::from(request),
        }),
        alarm: true,
        ..gone
    }
}

fn reset() -> Ask {
    Ask {
        title: "Reset what is stale?".to_owned(),
        text: "Ends leases whose owner is gone, whose grant was never delivered or whose deadline \
               has passed, and serves the queue. Healthy leases stay."
            .to_owned(),
        who: Vec::new(),
        verb: "Reset",
        action: Some(Action::Reset),
        clear_queue: None,
        alarm: false,
    }
}

fn panel(ui: &Ui, scene: &Scene<'_>, rect: Rect, edge: Color32, hazard: bool) {
    let ink = &scene.live;
    paint::frame(ui.painter(), rect, ink, ink.panel, ink.strong(edge));
    if hazard && ink.theme.ornament.hazard {
        let cut = ink.theme.shape.cut;
        let stripe = Rect::from_min_max(
            pos2(rect.left() + cut + 6.0, rect.top() + 6.0),
            pos2(rect.right() - 6.0, rect.top() + 14.0),
        );
        paint::hazard(ui.painter(), stripe, ink.warn, ink);
    }
}

/// More of those concerned than this are counted.
const NAMED: usize = 6;

fn question(ui: &mut Ui, scene: &mut Scene<'_>, ask: &Ask, dialog: &Dialog) {
    let width = WIDTH.min(ui.ctx().content_rect().width() - 48.0);
    let room = width - 2.0 * PAD;
    let ink = &scene.live;
    let body = Hand::body(ink);
    // The text is measured first: the panel's height follows it.
    let text = ui
        .painter()
        .layout(ask.text.clone(), ink.body(), ink.text, room);
    let named = ask.who.len().min(NAMED) as f32 + f32::from(u8::from(ask.who.len() > NAMED));
    let who = if ask.who.is_empty() {
        0.0
    } else {
        named * 22.0 + 12.0
    };
    let tick = if ask.clear_queue.is_some() { 36.0 } else { 0.0 };
    let height = (64.0 + text.size().y + 16.0 + who + tick + 58.0).ceil();
    let (rect, response) = ui.allocate_exact_size(vec2(width, height), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::AlertDialog, true, &ask.title));
    let edge = if ask.alarm { ink.alarm } else { ink.accent };
    panel(ui, scene, rect, edge, ask.alarm && ask.action.is_some());
    let ink = &scene.live;
    let left = rect.left() + PAD;
    let at = pos2(left, rect.top() + 38.0);
    let head = Hand::head(ink, edge);
    paint::left_within(ui.painter(), at, &ask.title, &head, room);
    let mut y = rect.top() + 64.0;
    let painted = text.size().y;
    let said = Rect::from_min_size(pos2(left, y), text.size());
    ui.painter().galley(said.min, text, ink.text);
    // Painted text is silent: who listens must hear to whom it happens, too.
    let said = ui.interact(said, Id::unique("warden dialog text"), Sense::hover());
    said.widget_info(|| WidgetInfo::labeled(Role::Label, true, ask.spoken()));
    y += painted + 16.0;
    for (nth, name) in ask.who.iter().take(NAMED).enumerate() {
        let at = pos2(left + 12.0, y + 11.0 + 22.0 * nth as f32);
        paint::left_within(ui.painter(), at, name, &body, room - 12.0);
        let mark = Rect::from_center_size(pos2(left + 2.0, at.y), vec2(4.0, 14.0));
        ui.painter().rect_filled(mark, 0.0, edge);
    }
    if ask.who.len() > NAMED {
        let at = pos2(left + 12.0, y + 11.0 + 22.0 * NAMED as f32);
        let text = format!("and {} more", ask.who.len() - NAMED);
        paint::left(ui.painter(), at, &text, &Hand::dim(ink));
    }
    y += who;
    if let Some((waiting, ticked)) = ask.clear_queue {
        tick_box(
            ui,
            scene,
            Rect::from_min_size(pos2(left, y), vec2(room, 28.0)),
            waiting,
            ticked,
        );
    }
    answers(ui, scene, rect, ask, dialog);
}

fn tick_box(ui: &Ui, scene: &mut Scene<'_>, rect: Rect, waiting: usize, ticked: bool) {
    let label = format!(
        "Refuse {} too",
        words::counted(waiting, "waiter", "waiters")
    );
    let response = ui.interact(rect, Id::unique("warden clear queue"), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, ticked, &label));
    let ink = &scene.live;
    let square = Rect::from_min_size(pos2(rect.left(), rect.center().y - 9.0), vec2(18.0, 18.0));
    let colour = if response.hovered() {
        ink.accent
    } else {
        ink.line_strong
    };
    let inside = egui::StrokeKind::Inside;
    ui.painter().rect(
        square,
        ink.theme.shape.rounding,
        ink.field,
        ink.outline(colour),
        inside,
    );
    if ticked {
        let c = square.center();
        let points = vec![
            c + vec2(-5.0, 0.0),
            c + vec2(-1.0, 4.0),
            c + vec2(5.0, -5.0),
        ];
        ui.painter().line(points, ink.strong(ink.alarm));
    }
    let at = pos2(square.right() + 10.0, rect.center().y);
    paint::left(ui.painter(), at, &label, &Hand::body(ink));
    control::focus(ui, ink, rect, &response);
    if response.clicked() {
        scene.memory.dialog = Some(Dialog::ForceAll {
            clear_queue: !ticked,
        });
    }
}

fn answers(ui: &Ui, scene: &mut Scene<'_>, rect: Rect, ask: &Ask, dialog: &Dialog) {
    let ink = &scene.live;
    let right = pos2(rect.right() - PAD, rect.bottom() - 34.0);
    let back = if ask.action.is_some() {
        "Step back"
    } else {
        "Close"
    };
    let keep = Button::new(back).cap("Esc");
    let keep_id = Id::unique("warden dialog keep");
    let Some(action) = &ask.action else {
        let kept = keep.left_of(ui, ink, right, keep_id);
        focus_once(ui, dialog, keep_id);
        if kept.clicked() {
            close(ui, scene);
        }
        return;
    };
    let act = Button::new(ask.verb)
        .named(format!("Confirm: {}", ask.verb))
        .weight(if ask.alarm {
            Weight::Alarm
        } else {
            Weight::Accent
        })
        .cap("Ctrl+Enter");
    // Placed from the right, made from the left: the focus goes in reading order.
    let at = pos2(right.x - act.width(ui, ink) - 12.0, right.y);
    let kept = keep.left_of(ui, ink, at, keep_id).clicked();
    focus_once(ui, dialog, keep_id);
    let act = act.left_of(ui, ink, right, Id::unique("warden dialog act"));
    if act.clicked() || pressed(ui, Modifiers::COMMAND, Key::Enter) {
        scene.actions.push(action.clone());
        close(ui, scene);
    } else if kept {
        close(ui, scene);
    }
}

/// The focus begins on the way back, once a dialog.
fn focus_once(ui: &Ui, dialog: &Dialog, id: Id) {
    // The tick box changes the dialog, but does not open another one.
    let key = match dialog {
        Dialog::ForceAll { .. } => "force all".to_owned(),
        other => format!("{other:?}"),
    };
    let opened = ui.ctx().data(|data| data.get_temp::<String>(opened_id()));
    if opened.as_ref() != Some(&key) {
        ui.ctx().data_mut(|data| data.insert_temp(opened_id(), key));
        ui.ctx().memory_mut(|memory| memory.request_focus(id));
    }
}

fn sheet(ui: &mut Ui, scene: &mut Scene<'_>) {
    let width = 840.0_f32.min(ui.ctx().content_rect().width() - 48.0);
    let columns = [["Look", "Reload"], ["Act", "Window"]];
    let lines = |groups: &[&str]| {
        let keys = SHEET
            .iter()
            .filter(|(group, ..)| groups.contains(group))
            .count();
        SHEET_LINE * keys as f32 + SHEET_GROUP * groups.len() as f32
    };
    let tallest = columns
        .iter()
        .map(|groups| lines(groups))
        .fold(0.0, f32::max);
    let (rect, response) = ui.allocate_exact_size(vec2(width, 72.0 + tallest), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Dialog, true, "Keys"));
    panel(ui, scene, rect, scene.live.accent, false);
    let ink = &scene.live;
    let at = pos2(rect.left() + PAD, rect.top() + 34.0);
    paint::left(ui.painter(), at, "Keys", &Hand::head(ink, ink.accent));
    let each = (width - 3.0 * PAD) / columns.len() as f32;
    for (nth, groups) in columns.into_iter().enumerate() {
        let left = rect.left() + PAD + (each + PAD) * nth as f32;
        let mut at = pos2(left, rect.top() + 56.0);
        for group in groups {
            at.y = sheet_group(ui, scene, at, each, group);
        }
    }
    let keep_id = Id::unique("warden dialog keep");
    let at = pos2(rect.right() - PAD, rect.top() + 34.0);
    let kept = Button::new("Close")
        .cap("Esc")
        .left_of(ui, ink, at, keep_id);
    focus_once(ui, &Dialog::Keys, keep_id);
    if kept.clicked() {
        close(ui, scene);
    }
}

const SHEET_LINE: f32 = 26.0;
const SHEET_GROUP: f32 = 32.0;

/// A heading and its keys. Gives where they end.
fn sheet_group(ui: &Ui, scene: &Scene<'_>, at: Pos2, width: f32, group: &str) -> f32 {
    let ink = &scene.live;
    let head = pos2(at.x, at.y + 14.0);
    paint::left(ui.painter(), head, group, &Hand::label(ink, ink.dim));
    let mut y = at.y + SHEET_GROUP + SHEET_LINE / 2.0 - 4.0;
    for (_, key, does) in SHEET.iter().filter(|(of, ..)| *of == group) {
        control::key_cap(ui, ink, pos2(at.x, y), key);
        let text = pos2(at.x + 120.0, y);
        let room = width - 120.0;
        paint::left_within(ui.painter(), text, does, &Hand::body(ink), room);
        y += SHEET_LINE;
    }
    y - SHEET_LINE / 2.0 + 4.0
}
