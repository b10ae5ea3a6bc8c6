//! The end of a broker and a new start, and what a disk does: facts that cannot be made durable for
//! a while, a journal with gaps.

use warden::arbiter::Image;
use warden::event::Fact;
use warden::{Arbiter, Command, Event};

use super::{World, about, rfc3339};
use crate::oracle::Oracle;

impl World<'_> {
    pub fn suspend(&mut self) {
        self.suspended = true;
        self.arbiter.suspend();
        self.twin.suspend();
    }

    /// Ends a suspension.
    pub fn recover(&mut self) {
        self.suspended = false;
        self.arbiter.resume();
        self.twin.resume();
        self.run(&Command::Tick).expect("time is never refused");
    }

    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// A fact that no command gives.
    pub fn take_fact(&mut self, fact: Fact) {
        let event = Event { at: self.now, fact };
        self.twin.apply(&event);
        self.take_in(&event, &mut Vec::new());
    }

    /// A request that was withdrawn may be posted again.
    pub fn forget(&mut self, id: &str) {
        self.ended.remove(id);
        self.queued -= 1;
    }

    /// What is left of the journal where lines are missing keeps the laws about what is held.
    pub fn check_salvage(&self, is_missing: impl Fn(usize) -> bool) -> Arbiter {
        let mut salvaged = Arbiter::new();
        for (number, line) in self.journal.iter().enumerate() {
            if is_missing(number) {
                continue;
            }
            salvaged.salvage(&serde_json::from_str(line).expect("facts parse"));
            Oracle::new(&salvaged.image()).check_leases();
        }
        let restored = Arbiter::from(salvaged.image());
        assert_eq!(restored.image(), salvaged.image());
        assert_eq!(restored.next_deadline(), salvaged.next_deadline());
        salvaged
    }

    /// Law 8: the journal gives the state, and so does its image.
    pub fn check_replay(&mut self) {
        let mut replayed = Arbiter::new();
        for line in &self.journal {
            replayed.apply(&serde_json::from_str(line).expect("facts parse"));
        }
        assert_eq!(replayed.image(), self.arbiter.image());
        assert_eq!(replayed, self.arbiter);
        let json = serde_json::to_string(&self.arbiter.image()).expect("an image serialises");
        let image: Image = serde_json::from_str(&json).expect("an image parses");
        let restored = Arbiter::from(image);
        assert_eq!(restored.image(), self.arbiter.image());
        assert_eq!(restored.next_deadline(), self.arbiter.next_deadline());
        let status = |arbiter: &Arbiter| arbiter.status(self.now, &about(), &rfc3339);
        assert_eq!(status(&restored), status(&self.arbiter));
    }

    /// The broker dies at this instant, and another goes on from the journal.
    pub fn crash(&mut self, host_restarted: bool) {
        if self.suspended {
            self.arbiter.resume();
        }
        self.check_replay();
        let image = self.arbiter.image();
        // One of the two goes on from an image, the other from all of the journal.
        self.twin = Arbiter::from(image);
        self.arbiter = self.twin.clone();
        self.start(host_restarted);
    }
}
