//! Runs the checker over a scene, and tells what it found.

use std::fmt;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use super::action::Action;
use super::broken::Fault;
use super::law::Laws;
use super::scene::Scene;
use super::tally::Tally;
use super::world::Small;

/// What one run came to.
pub struct Report {
    pub scene: String,
    pub states: usize,
    pub steps: usize,
    pub depth: usize,
    pub took: Duration,
    /// All states were visited, or a broken law was found.
    pub complete: bool,
    pub broken: Option<Found>,
    pub tally: Tally,
}

/// A way to a state in which a law does not hold.
pub struct Found {
    pub law: &'static str,
    pub how: String,
    pub way: Vec<Action>,
}

/// Visits all states of a scene, or as many as there is time for.
pub fn check(
    scene: Scene,
    fault: Option<Fault>,
    threads: usize,
    limit: Option<Duration>,
) -> Report {
    let name = scene.name.clone();
    let laws = fault.map_or_else(Laws::all, |fault| Laws::only(fault.law()));
    let small = Small {
        scene,
        laws,
        fault,
        tally: Tally::default(),
    };
    let began = Instant::now();
    let mut checker = small
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures);
    if let Some(limit) = limit {
        checker = checker.timeout(limit);
    }
    let checker = checker.spawn_bfs().join();
    let took = began.elapsed();
    let tally = checker.model().tally.read();
    let mut discoveries: Vec<_> = checker.discoveries().into_iter().collect();
    discoveries.sort_by_key(|(law, _)| *law);
    let broken = discoveries.into_iter().next().map(|(law, path)| {
        let breach = path.last_state().ledger.breach.as_ref();
        let how = breach.map_or(String::new(), |breach| breach.how.clone());
        let way = path.into_actions();
        Found { law, how, way }
    });
    Report {
        scene: name,
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        took,
        complete: broken.is_some() || limit.is_none_or(|limit| took < limit),
        broken,
        tally,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<36} {:>9} states {:>10} steps  depth {:>3} {:>7.1} s{}",
            self.scene,
            self.states,
            self.steps,
            self.depth,
            self.took.as_secs_f64(),
            if self.complete {
                ""
            } else {
                "  (not all: out of time)"
            }
        )
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken: {}", self.law)?;
        if !self.how.is_empty() {
            write!(f, " ({})", self.how)?;
        }
        let way: Vec<String> = self
            .way
            .iter()
            .map(|action| format!("{action:?}"))
            .collect();
        write!(f, "\n    by: {}", way.join(" → "))
    }
}
