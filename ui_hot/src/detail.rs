//! What is selected, in full: whole ids, the path to the grant, the line to copy.

use warden_toolkit::egui::{Color32, Pos2, Rect, ScrollArea, Sense, Ui, UiBuilder, pos2, vec2};
use warden_view::{Dialog, Gpu, Holder, Target, Text, Waiter};

use crate::control::{self, Button};
use crate::paint::{self, Hand};
use crate::queue::asks_in_full;
use crate::scene::{Scene, Selected};
use crate::strip::{idle, measured, state_colour, state_word};
use crate::words;

const LINE: f32 = 22.0;
const VALUES: f32 = 124.0;

/// What can be done to it.
pub(crate) fn head(ui: &mut Ui, room: Rect, scene: &mut Scene<'_>) {
    let at = pos2(room.right(), room.center().y);
    let ink = &scene.ink;
    let id = ui.scope_id().with("end the selected");
    match scene.selected() {
        Selected::Waiter(_, waiter) => {
            let pending = scene
                .pending(&Target::Request(waiter.request.clone()))
                .is_some();
            let button = Button::new("Cancel")
                .named(format!("Cancel the request of {}", waiter.client))
                .cap("Del")
                .enabled(scene.acting && !pending);
            if button.left_of(ui, ink, at, id).clicked() {
                scene.memory.dialog = Some(Dialog::Cancel(waiter.request.to_string()));
            }
        }
        Selected::Holder(holder) => {
            let pending = scene
                .pending(&Target::Lease(holder.lease.clone()))
                .is_some();
            let button = Button::new("Release")
                .named(format!("Release the selected lease of {}", holder.client))
                .cap("Del")
                .enabled(scene.acting && !pending);
            if button.left_of(ui, ink, at, id).clicked() {
                scene.memory.dialog = Some(Dialog::Release(holder.lease.to_string()));
            }
        }
        Selected::Gpu(_) | Selected::Nothing => {}
    }
}

pub(crate) fn show(ui: &mut Ui, body: Rect, scene: &mut Scene<'_>) {
    let mut inner = body;
    inner.max.y -= scene.ink.theme.shape.line + 4.0;
    let mut child = ui.new_child(UiBuilder::new().id_salt("facts").max_rect(inner));
    ScrollArea::vertical()
        .id_salt("detail")
        .auto_shrink(false)
        .show(&mut child, |ui| {
            let top = ui.max_rect().top();
            let mut sheet = Sheet {
                left: body.left() + scene.ink.theme.spacing.pad,
                right: body.right() - 16.0,
                y: top + 8.0,
            };
            match scene.selected() {
                Selected::Nothing => nothing(ui, &mut sheet, scene),
                Selected::Waiter(place, waiter) => {
                    self::waiter(ui, &mut sheet, scene, place, waiter)
                }
                Selected::Holder(holder) => lease(ui, &mut sheet, scene, holder),
                Selected::Gpu(gpu) => self::gpu(ui, &mut sheet, scene, gpu),
            }
            let size = vec2(1.0, sheet.y - top + 8.0);
            ui.allocate_space(size);
        });
}

/// A column of names and values, filled from the top.
struct Sheet {
    left: f32,
    right: f32,
    y: f32,
}

impl Sheet {
    fn value_at(&self) -> Pos2 {
        pos2(self.left + VALUES - 22.0, self.y + LINE / 2.0)
    }

    fn name(&self, ui: &Ui, scene: &Scene<'_>, name: &str) {
        let at = pos2(self.left, self.y + LINE / 2.0);
        paint::left(ui.painter(), at, name, &Hand::dim(&scene.ink));
    }

    fn fact(&mut self, ui: &Ui, scene: &Scene<'_>, name: &str, value: &str) {
        self.coloured(ui, scene, name, value, scene.ink.text);
    }

    /// A value that may take several lines.
    fn coloured(&mut self, ui: &Ui, scene: &Scene<'_>, name: &str, value: &str, colour: Color32) {
        self.name(ui, scene, name);
        let hand = Hand::body(&scene.ink).coloured(colour);
        let at = self.value_at();
        let room = self.right - at.x;
        if paint::width(ui.painter(), value, &hand) <= room {
            paint::left(ui.painter(), at, value, &hand);
            self.y += LINE;
            return;
        }
        let rect = paint::paragraph(ui.painter(), at - vec2(0.0, 8.0), value, &hand, room);
        self.y += (rect.height() + 6.0).max(LINE);
    }

    /// A time of day; the date and the zone on hover.
    fn instant(&mut self, ui: &Ui, scene: &Scene<'_>, name: &str, ms: i64) {
        self.name(ui, scene, name);
        let whole = scene.instant(ms);
        let today = whole.get(..10) == scene.instant(scene.now).get(..10);
        // `2026-11-21 14:02:11 …`: the time alone, or the day with it.
        let text = whole
            .get(if today { 11..19 } else { 0..19 })
            .unwrap_or(&whole);
        let hand = Hand::body(&scene.ink);
        let rect = paint::left(ui.painter(), self.value_at(), text, &hand);
        ui.interact(rect, ui.scope_id().with(("instant", name)), Sense::hover())
            .on_hover_text(&*whole);
        self.y += LINE;
    }

    fn id(&mut self, ui: &Ui, scene: &mut Scene<'_>, name: &str, id: &Text) {
        self.name(ui, scene, name);
        let at = self.value_at();
        let (corner, room) = (at - vec2(0.0, 8.0), self.right - at.x);
        let rect = control::copyable_whole(ui, &scene.ink, corner, (id, room), scene.actions);
        self.y += (rect.height() + 5.0).max(LINE);
    }

    fn command(&mut self, ui: &Ui, scene: &mut Scene<'_>, line: &str) {
        let at = pos2(self.left, self.y + 10.0);
        let room = self.right - self.left;
        let rect = control::command(ui, &scene.ink, at, line, room, scene.actions);
        self.y = rect.bottom();
    }
}

fn nothing(ui: &Ui, sheet: &mut Sheet, scene: &Scene<'_>) {
    let text = "Select a waiter, a holder or a GPU: everything that is known of it appears here, \
                with its whole id and the command to copy.";
    let at = pos2(sheet.left, sheet.y + 4.0);
    let room = sheet.right - sheet.left;
    let rect = paint::paragraph(ui.painter(), at, text, &Hand::dim(&scene.ink), room);
    sheet.y = rect.bottom();
}

fn waiter(ui: &Ui, sheet: &mut Sheet, scene: &mut Scene<'_>, place: usize, waiter: &Waiter) {
    sheet.fact(ui, scene, "client", &waiter.client);
    sheet.id(ui, scene, "request", &waiter.request);
    sheet.fact(ui, scene, "asks for", &asks_in_full(scene, waiter));
    sheet.fact(ui, scene, "path", &path(scene, place, waiter));
    passed(ui, sheet, scene, waiter);
    sheet.fact(ui, scene, "why", &waiter.why.text);
    sheet.fact(ui, scene, "operation", &waiter.operation);
    sheet.fact(ui, scene, "priority", &priority(scene, waiter.priority));
    sheet.instant(ui, scene, "waits since", waiter.arrived_ms);
    sheet.instant(ui, scene, "gives up", waiter.times_out_ms);
    if !waiter.connected {
        let warn = scene.ink.warn;
        let text = "its client is not connected; it is skipped until it comes back";
        sheet.coloured(ui, scene, "connection", text, warn);
    }
    sheet.command(ui, scene, &format!("warden cancel {}", waiter.request));
}

fn priority(scene: &Scene<'_>, priority: u8) -> String {
    match scene.priority_name(priority) {
        Some(name) => format!("{name} {priority}"),
        None => priority.to_string(),
    }
}

/// Who ends first, and who comes before it: `root-console ends, 2 before it, then this one`.
fn path(scene: &Scene<'_>, place: usize, waiter: &Waiter) -> String {
    let mut steps = Vec::new();
    let names: Vec<&str> = waiter
        .why
        .holders
        .iter()
        .filter_map(|lease| scene.holder(lease))
        .map(|holder| &*holder.client)
        .collect();
    match names.as_slice() {
        [] => {}
        [one] => steps.push(format!("{one} ends")),
        [first, rest @ ..] => steps.push(format!("{first} or {} more end", rest.len())),
    }
    // Each look-up goes through the queue: the first that is known is enough, the rest is a number.
    let before = waiter.why.behind.len();
    let first = waiter
        .why
        .behind
        .iter()
        .take(4)
        .find_map(|request| scene.waiter(request));
    match first {
        Some((_, first)) if before > 1 => {
            let more = words::number(before as u64 - 1);
            steps.push(format!("{} and {more} more go first", first.client));
        }
        Some((_, first)) => steps.push(format!("{} goes first", first.client)),
        None if place > 1 && waiter.why.holders.is_empty() => {
            steps.push(format!("{} before it", words::number(place as u64 - 1)));
        }
        None => {}
    }
    steps.push("then this one".to_owned());
    steps.join(", ")
}

fn passed(ui: &Ui, sheet: &mut Sheet, scene: &Scene<'_>, waiter: &Waiter) {
    let ink = &scene.ink;
    sheet.name(ui, scene, "passed");
    let most = scene.picture.rules.max_bypass;
    let at = sheet.value_at();
    paint::pips(ui.painter(), at, waiter.passed, most, ink.warn, ink);
    let at = pos2(at.x + paint::pips_width(most) + 8.0, at.y);
    let text = format!("{} of {most}", waiter.passed);
    let hand = Hand::body(ink);
    let rect = paint::left(ui.painter(), at, &text, &hand);
    if waiter.passed >= most {
        let at = pos2(rect.right() + 6.0, at.y);
        paint::left(ui.painter(), at, "overdue", &hand.coloured(ink.warn));
    }
    sheet.y += LINE;
}

fn lease(ui: &Ui, sheet: &mut Sheet, scene: &mut Scene<'_>, holder: &Holder) {
    sheet.fact(ui, scene, "client", &holder.client);
    sheet.id(ui, scene, "lease", &holder.lease);
    sheet.fact(ui, scene, "on", &scene.gpus_marked(&holder.gpus));
    let share = holder.vram_mib.map_or("alone".to_owned(), |mib| {
        format!("{} GiB on each, shared", words::gib(mib))
    });
    sheet.fact(ui, scene, "holds", &share);
    sheet.fact(ui, scene, "operation", &holder.operation);
    sheet.fact(ui, scene, "priority", &priority(scene, holder.priority));
    let process = match holder.pid {
        Some(pid) => format!("pid {pid} on {}", holder.host),
        None => format!("none known; lives by its ttl, on {}", holder.host),
    };
    sheet.fact(ui, scene, "process", &process);
    sheet.instant(ui, scene, "since", holder.granted_ms);
    sheet.instant(ui, scene, "deadline", holder.expires_ms);
    let ttl = words::span(i64::try_from(holder.ttl_ms).unwrap_or(i64::MAX));
    sheet.fact(ui, scene, "ttl", &format!("{ttl} from each renewal"));
    if holder.yield_asked {
        let warn = scene.ink.warn;
        sheet.coloured(ui, scene, "yield", "asked to give it back", warn);
    }
    sheet.command(ui, scene, &format!("warden force-release {}", holder.lease));
}

fn gpu(ui: &Ui, sheet: &mut Sheet, scene: &mut Scene<'_>, gpu: &Gpu) {
    let at = scene
        .picture
        .gpus
        .iter()
        .position(|other| other.id == gpu.id)
        .unwrap_or(0);
    let contested = scene
        .picture
        .summary
        .contested
        .get(at)
        .copied()
        .unwrap_or(false);
    let colour = state_colour(scene, gpu.state);
    sheet.coloured(
        ui,
        scene,
        "state",
        state_word(gpu.state, contested).0,
        colour,
    );
    sheet.fact(ui, scene, "name", &gpu.name);
    sheet.id(ui, scene, "id", &gpu.id);
    let source = if gpu.simulated {
        "simulated: nothing real stands behind it".to_owned()
    } else {
        gpu.source.to_string()
    };
    sheet.fact(ui, scene, "known from", &source);
    let measured = measured(gpu);
    let measured = if measured.is_empty() {
        "not known"
    } else {
        &measured
    };
    sheet.fact(ui, scene, "memory, load", measured);
    if let Some(drained) = &gpu.draining {
        sheet.fact(ui, scene, "taken from", &drained.client);
        sheet.fact(ui, scene, "drains", &idle(scene, gpu));
    }
    for lease in gpu.leases.iter() {
        if let Some(holder) = scene.holder(lease) {
            sheet.fact(ui, scene, "held by", &holder.client);
        }
    }
    sheet.command(ui, scene, "warden status");
}
