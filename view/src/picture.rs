//! The whole picture that one frame draws.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    ActionRun, Broker, EventRow, Gpu, GpuState, Holder, Reload, Settings, Timeline, Waiter,
};

/// Shared text: a clone costs a counter.
pub type Text = Arc<str>;

/// Everything that a frame draws. Cloning it clones no row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// Grows whenever anything but [`Self::clock`] changed, so that drawing knows what it may keep.
    pub serial: u64,
    /// What the time is.
    pub clock: Clock,
    /// The window itself.
    pub window: Window,
    /// The broker that is shown.
    pub broker: Broker,
    /// What the policy says that the window needs.
    pub rules: Rules,
    /// By index.
    pub gpus: Arc<[Gpu]>,
    /// By grant, the oldest first.
    pub holders: Arc<[Holder]>,
    /// By turn: the first is next.
    pub queue: Arc<[Arc<Waiter>]>,
    /// What the strip says about them; made by [`Summary::of`].
    pub summary: Summary,
    /// The last ten minutes.
    pub timeline: Timeline,
    /// The newest last.
    pub events: Arc<[EventRow]>,
    /// What can be reloaded.
    pub reload: Reload,
    /// What can be set.
    pub settings: Settings,
    /// The operator's actions that are under way or whose result still shows, the oldest first.
    pub actions: Arc<[ActionRun]>,
}

/// What the time is. Set anew for every frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    /// Milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// How far local time is ahead of UTC, in seconds.
    pub utc_offset_s: i32,
    /// The zone's name, for hovering: `Europe/Berlin`.
    pub zone: Text,
}

impl Clock {
    /// The local time of day at an instant in Unix time: `14:02:11`.
    #[must_use]
    pub fn time(&self, ms: i64) -> String {
        let s = (ms.div_euclid(1000) + i64::from(self.utc_offset_s)).rem_euclid(86_400);
        format!("{:02}:{:02}:{:02}", s / 3_600, s / 60 % 60, s % 60)
    }
}

/// What the window knows of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// The themes to choose from, in the order of the key that steps through them.
    pub themes: Arc<[ThemeName]>,
    /// The [`ThemeName::id`] in use.
    pub theme: Text,
    /// The operator wants no motion.
    pub reduced_motion: bool,
}

/// A theme to choose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThemeName {
    /// Its file's name without the ending.
    pub id: Text,
    /// Its [`crate::Theme::name`].
    pub name: Text,
}

/// What the policy says that the window needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Names of priorities, by number.
    pub priorities: Arc<[(u8, Text)]>,
    /// Passed so often, a waiter is overdue.
    pub max_bypass: u32,
}

impl Default for Rules {
    /// The policy's defaults.
    fn default() -> Self {
        let named = [
            (0, "mic"),
            (10, "console"),
            (15, "default"),
            (20, "dreamer"),
        ];
        Self {
            priorities: named
                .map(|(number, name)| (number, Text::from(name)))
                .into(),
            max_bypass: 8,
        }
    }
}

/// What the strip says in a few words, counted once a projection instead of once a frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many wait.
    pub waiting: u32,
    /// The arrival of who has waited longest.
    pub longest_since_ms: Option<i64>,
    /// Its name.
    pub longest_client: Text,
    /// Waiters that were passed as often as the policy allows.
    pub overdue: u32,
    /// Holders that were asked to yield.
    pub asked_to_yield: u32,
    /// For each of [`Picture::gpus`], in its order: held while somebody waits for it.
    pub contested: Arc<[bool]>,
    /// The last wait that ended in a grant: how long it took, and when. For an empty queue.
    pub last_wait: Option<(i64, i64)>,
}

impl Summary {
    /// Counts. Linear in the queue.
    #[must_use]
    pub fn of(
        gpus: &[Gpu],
        holders: &[Holder],
        queue: &[Arc<Waiter>],
        rules: &Rules,
        last_wait: Option<(i64, i64)>,
    ) -> Self {
        let longest = queue.iter().min_by_key(|waiter| waiter.arrived_ms);
        Self {
            waiting: count(queue.len()),
            longest_since_ms: longest.map(|waiter| waiter.arrived_ms),
            longest_client: longest.map_or_else(Text::default, |waiter| waiter.client.clone()),
            overdue: count(
                queue
                    .iter()
                    .filter(|waiter| waiter.passed >= rules.max_bypass)
                    .count(),
            ),
            asked_to_yield: count(holders.iter().filter(|holder| holder.yield_asked).count()),
            contested: contested(gpus, queue),
            last_wait,
        }
    }
}

fn contested(gpus: &[Gpu], queue: &[Arc<Waiter>]) -> Arc<[bool]> {
    let held: Vec<(usize, &Text)> = gpus
        .iter()
        .enumerate()
        .filter(|(_, gpu)| gpu.state == GpuState::Held)
        .flat_map(|(at, gpu)| gpu.leases.iter().map(move |lease| (at, lease)))
        .collect();
    let mut wanted = vec![false; gpus.len()];
    let mut open = held.len();
    for waiter in queue {
        if open == 0 {
            break;
        }
        for lease in waiter.why.holders.iter() {
            for (at, _) in held.iter().filter(|(_, held)| *held == lease) {
                open -= usize::from(!wanted[*at]);
                wanted[*at] = true;
            }
        }
    }
    wanted.into()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
