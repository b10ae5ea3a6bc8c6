//! Plays the day: programs ask, work and let go, and the rules say who is served and who gives up.

use std::collections::VecDeque;

use super::trace::{DAY_MS, PROGRAMS, Work, trace};
use super::{Tallies, Tally};

/// What rules tell a program that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is its turn.
    Granted,
    /// It has waited too long.
    TimedOut,
}

/// Rules that the programs live under.
pub trait Rules {
    /// A program wants the GPU.
    fn ask(&mut self, now_ms: u64, program: usize);
    /// A program has done its work.
    fn release(&mut self, now_ms: u64, program: usize);
    /// What was said since the last call, now that this time has come, in order.
    fn told(&mut self, now_ms: u64) -> Vec<(usize, Told)>;
    /// When something is said by time alone, or has to be done.
    fn next_ms(&self) -> Option<u64>;
    /// How often any waiter was passed, at most.
    fn passed_max(&self) -> u32;
}

/// What became of the day.
#[derive(Clone, Debug)]
pub struct Played {
    pub tallies: Tallies,
    pub passed_max: u32,
    /// At any time, of each operation.
    pub loads_at_once_max: usize,
    /// At any time.
    pub at_work_max: usize,
    /// How much of the day at least one program was at work.
    pub busy_ms: u64,
}

impl Played {
    pub fn timed_out(&self) -> u64 {
        self.tallies.values().map(|tally| tally.timed_out).sum()
    }

    pub fn busy_part(&self) -> f64 {
        self.busy_ms as f64 / DAY_MS as f64
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Until it next wants something; for ever where nothing is left.
    Idle(Option<u64>),
    /// Since then.
    Waiting(u64),
    /// Until then.
    Working(u64),
}

struct Day<R> {
    rules: R,
    todo: Vec<VecDeque<Work>>,
    states: Vec<State>,
    played: Played,
}

pub fn play(rules: impl Rules) -> Played {
    let mut todo = vec![VecDeque::new(); PROGRAMS.len()];
    for work in trace() {
        todo[work.program].push_back(work);
    }
    let idle = |todo: &VecDeque<Work>| State::Idle(todo.front().map(|work| work.at_ms));
    let mut day = Day {
        rules,
        states: todo.iter().map(idle).collect(),
        todo,
        played: Played {
            tallies: (0..PROGRAMS.len())
                .map(|program| (program, Tally::default()))
                .collect(),
            passed_max: 0,
            loads_at_once_max: 0,
            at_work_max: 0,
            busy_ms: 0,
        },
    };
    let mut now_ms = 0;
    while let Some(next_ms) = day.next_ms() {
        assert!(next_ms >= now_ms, "time goes on");
        day.look(next_ms - now_ms);
        now_ms = next_ms;
        day.step(now_ms);
    }
    assert!(
        day.todo.iter().all(VecDeque::is_empty),
        "everybody ends the day"
    );
    day.played.passed_max = day.rules.passed_max();
    day.played
}

impl<R: Rules> Day<R> {
    /// Nothing once all programs are done.
    fn next_ms(&self) -> Option<u64> {
        if self.states.iter().all(|state| *state == State::Idle(None)) {
            return None;
        }
        let own = self.states.iter().filter_map(|state| match state {
            State::Idle(at_ms) => *at_ms,
            State::Waiting(_) => None,
            State::Working(until_ms) => Some(*until_ms),
        });
        own.chain(self.rules.next_ms()).min()
    }

    /// What is true from now on for so long.
    fn look(&mut self, for_ms: u64) {
        let at_work = |program: &usize| matches!(self.states[*program], State::Working(_));
        let at_work: Vec<usize> = (0..PROGRAMS.len()).filter(at_work).collect();
        let loads =
            |program: &&usize| PROGRAMS[**program].operation == warden::Operation::MODEL_LOAD;
        let loads = at_work.iter().filter(loads).count();
        let played = &mut self.played;
        played.at_work_max = played.at_work_max.max(at_work.len());
        played.loads_at_once_max = played.loads_at_once_max.max(loads);
        if !at_work.is_empty() {
            played.busy_ms += for_ms;
        }
    }

    fn step(&mut self, now_ms: u64) {
        for program in 0..PROGRAMS.len() {
            if self.states[program] == State::Working(now_ms) {
                self.rules.release(now_ms, program);
                self.goes_on(now_ms, program);
            }
        }
        for program in 0..PROGRAMS.len() {
            if self.states[program] == State::Idle(Some(now_ms)) {
                self.states[program] = State::Waiting(now_ms);
                self.rules.ask(now_ms, program);
            }
        }
        for (program, told) in self.rules.told(now_ms) {
            let State::Waiting(since_ms) = self.states[program] else {
                panic!(
                    "{} was told {told:?}, but did not wait",
                    PROGRAMS[program].name
                );
            };
            let Some(tally) = self.played.tallies.get_mut(&program) else {
                continue;
            };
            let work = self.todo[program].front().expect("it waits for something");
            match told {
                Told::Granted => {
                    tally.waits_ms.push(now_ms - since_ms);
                    tally.worked_ms += work.works_ms;
                    self.states[program] = State::Working(now_ms + work.works_ms);
                }
                Told::TimedOut => {
                    tally.timed_out += 1;
                    self.goes_on(now_ms, program);
                }
            }
        }
    }

    /// On to the next piece of work, now or when it is due. Not in the same instant as the last.
    fn goes_on(&mut self, now_ms: u64, program: usize) {
        self.todo[program].pop_front();
        let next = self.todo[program]
            .front()
            .map(|work| work.at_ms.max(now_ms + 1));
        self.states[program] = State::Idle(next);
    }
}
