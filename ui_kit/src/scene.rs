//! What every panel is handed: the picture, the inks, what the window remembers, and where wishes
//! go.

use warden_toolkit::egui::{Color32, Context};
use warden_view::{
    Action, ActionRun, Column, Gpu, Holder, LinkState, Phase, Picture, Selection, Target, Text,
    Theme, ThemeName, UiMemory, Waiter,
};

use crate::ink::Ink;
use crate::words;

/// One frame's work, handed down from panel to panel.
#[derive(Debug)]
pub struct Scene<'a> {
    /// What to draw.
    pub picture: &'a Picture,
    /// What outlives the frame.
    pub memory: &'a mut UiMemory,
    /// Where wishes go.
    pub actions: &'a mut Vec<Action>,
    /// What to draw it in; frozen while the figures are from before.
    pub ink: Ink<'a>,
    /// The same, never frozen: for what is true also while the broker does not answer.
    pub live: Ink<'a>,
    /// The instant that the figures are true at: now, or when they froze.
    pub now: i64,
    /// The broker answers, so that actions can be offered.
    pub acting: bool,
}

impl<'a> Scene<'a> {
    /// At the start of a frame.
    #[must_use]
    pub fn new(
        ctx: &Context,
        picture: &'a Picture,
        theme: &'a Theme,
        memory: &'a mut UiMemory,
        actions: &'a mut Vec<Action>,
    ) -> Self {
        let link = &picture.broker.link;
        let ink = Ink::new(ctx, theme);
        let frozen = link.state != LinkState::Live;
        Self {
            picture,
            memory,
            actions,
            ink: if frozen { ink.frozen() } else { ink.clone() },
            live: ink,
            now: link
                .frozen_at_ms
                .filter(|_| frozen)
                .unwrap_or(picture.clock.now_ms),
            acting: !frozen,
        }
    }

    /// There are figures to show: from now, or from before the broker went.
    pub fn known(&self) -> bool {
        self.acting || self.picture.broker.link.frozen_at_ms.is_some()
    }

    /// A GPU by its id.
    pub fn gpu(&self, id: &str) -> Option<&'a Gpu> {
        self.picture.gpus.iter().find(|gpu| &*gpu.id == id)
    }

    /// A GPU's designation, by its id; what is not known keeps its id.
    pub fn gpu_label(&self, id: &str) -> String {
        self.gpu(id)
            .map_or_else(|| words::id(id), |gpu| words::gpu(gpu.index))
    }

    /// The same as it is shown: what is simulated says so.
    pub fn gpu_marked(&self, id: &str) -> String {
        let simulated = self.gpu(id).is_some_and(|gpu| gpu.simulated);
        self.gpu_label(id) + if simulated { " sim" } else { "" }
    }

    /// Several of them, side by side.
    pub fn gpus_marked(&self, ids: &[Text]) -> String {
        ids.iter()
            .map(|id| self.gpu_marked(id))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Designations, side by side.
    pub fn gpu_labels(&self, ids: &[Text]) -> String {
        ids.iter()
            .map(|id| self.gpu_label(id))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// A lease by its id.
    pub fn holder(&self, lease: &str) -> Option<&'a Holder> {
        self.picture
            .holders
            .iter()
            .find(|holder| &*holder.lease == lease)
    }

    /// A waiter with its place, by its request id.
    pub fn waiter(&self, request: &str) -> Option<(usize, &'a Waiter)> {
        let queue = &self.picture.queue;
        let at = queue
            .iter()
            .position(|waiter| &*waiter.request == request)?;
        queue.get(at).map(|waiter| (at + 1, &**waiter))
    }

    /// The name that the policy gives a priority.
    pub fn priority_name(&self, priority: u8) -> Option<&'a str> {
        let names = &self.picture.rules.priorities;
        names
            .iter()
            .find(|(number, _)| *number == priority)
            .map(|(_, name)| &**name)
    }

    /// The colour of a priority: that of the nearest name that is as urgent or more.
    pub fn priority_colour(&self, priority: u8) -> Color32 {
        let names = &self.picture.rules.priorities;
        let more = names
            .iter()
            .filter(|(number, _)| *number < priority)
            .count();
        let exact = names.iter().any(|(number, _)| *number == priority);
        let at = if exact { more } else { more.saturating_sub(1) };
        self.ink.series[at % self.ink.series.len()]
    }

    /// The action that is under way on a lease or a request, if one is.
    pub fn pending(&self, target: &Target) -> Option<&'a ActionRun> {
        let everything = matches!(target, Target::Lease(_));
        self.picture.actions.iter().find(|run| {
            run.phase == Phase::Pending
                && (run.target == *target || everything && run.target == Target::Everything)
        })
    }

    /// What is selected and still there.
    pub fn selected(&self) -> Selected<'a> {
        match &self.memory.selection {
            Selection::None => Selected::Nothing,
            Selection::Waiter(request) => self
                .waiter(request)
                .map_or(Selected::Nothing, |(place, waiter)| {
                    Selected::Waiter(place, waiter)
                }),
            Selection::Lease(lease) => self
                .holder(lease)
                .map_or(Selected::Nothing, Selected::Holder),
            Selection::Gpu(gpu) => self.gpu(gpu).map_or(Selected::Nothing, Selected::Gpu),
        }
    }

    /// The theme in use; none where there is none at all.
    #[must_use]
    pub fn theme(&self) -> Option<&'a ThemeName> {
        let window = &self.picture.window;
        window.themes.iter().find(|theme| theme.id == window.theme)
    }

    /// The theme that follows the one in use; none where there is none at all.
    #[must_use]
    pub fn next_theme(&self) -> Option<&'a ThemeName> {
        let window = &self.picture.window;
        let at = window
            .themes
            .iter()
            .position(|theme| theme.id == window.theme);
        let next = at.map_or(0, |at| at + 1) % window.themes.len().max(1);
        window.themes.get(next)
    }

    /// Sorts the queue by a column; the same column again turns the order round.
    pub fn sort_by(&mut self, column: Column) {
        let sort = &mut self.memory.sort;
        sort.descending = sort.column == column && !sort.descending;
        sort.column = column;
    }

    /// The local time of day.
    pub fn time(&self, ms: i64) -> String {
        self.picture.clock.time(ms)
    }

    /// The local date and time with its zone.
    pub fn instant(&self, ms: i64) -> String {
        words::instant(ms, &self.picture.clock)
    }

    /// How much is left of a span that ends then, as a part of its whole length.
    pub fn part_left(&self, ends_ms: i64, whole_ms: i64) -> f32 {
        if whole_ms <= 0 {
            return 0.0;
        }
        (ends_ms - self.now) as f32 / whole_ms as f32
    }
}

/// What is selected.
#[derive(Clone, Copy, Debug)]
pub enum Selected<'a> {
    /// Nothing, or what has ended.
    Nothing,
    /// A waiter with its place, from 1.
    Waiter(usize, &'a Waiter),
    /// A lease.
    Holder(&'a Holder),
    /// A GPU.
    Gpu(&'a Gpu),
}

impl<'a> Selected<'a> {
    /// Its whole id.
    #[must_use]
    pub fn id(self) -> Option<&'a str> {
        match self {
            Self::Nothing => None,
            Self::Waiter(_, waiter) => Some(&waiter.request),
            Self::Holder(holder) => Some(&holder.lease),
            Self::Gpu(gpu) => Some(&gpu.id),
        }
    }

    /// The command that does to it, in a terminal, what the button here does.
    #[must_use]
    pub fn command(self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Waiter(_, waiter) => Some(format!("warden cancel {}", waiter.request)),
            Self::Holder(holder) => Some(format!("warden force-release {}", holder.lease)),
            Self::Gpu(_) => Some("warden status".to_owned()),
        }
    }
}
