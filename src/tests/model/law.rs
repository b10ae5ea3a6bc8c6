//! The laws, each of which every state on every way must keep.

use std::fmt;

use super::world::{Small, World};

macro_rules! laws {
    ($($law:ident: $words:literal,)*) => {
        /// What must hold.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Law {
            $($law,)*
        }

        impl Law {
            pub const ALL: &'static [Self] = &[$(Self::$law,)*];

            /// As the checker names it.
            pub fn words(self) -> &'static str {
                match self {
                    $(Self::$law => $words,)*
                }
            }

            /// Whether it was kept on the way to a state.
            pub fn kept(self) -> fn(&Small, &World) -> bool {
                match self {
                    $(Self::$law => |_, world| !world.breaks(Law::$law),)*
                }
            }
        }
    };
}

// The most particular first: a step that breaks several is said to break the first.
laws! {
    DoubleGrant: "no GPU is granted twice",
    AllOrNone: "all GPUs at once or none",
    OneLoad: "one model load at once",
    Tokens: "tokens increase",
    Lost: "each request ends once and none is lost",
    Reason: "what ends has the reason that is told",
    Turn: "the one whose turn it is is served",
    Passes: "a pass is counted against whom it passes",
    Starving: "nobody is passed more often than the bound",
    Idle: "no GPU is free beside a waiter that may have it",
    Due: "what is due has happened",
    Asks: "a holder is asked by the rules, and for one that waits",
    SameId: "the same id is the same request",
    Replay: "the journal gives the state",
    Deadlock: "everyone is served once holders let go",
    Ends: "every request ends",
}

/// A law that was broken on the way to a state, and how.
#[derive(Clone, Debug)]
pub struct Breach {
    pub law: Law,
    pub how: String,
}

/// Some of the laws.
#[derive(Clone, Copy, Debug)]
pub struct Laws(u32);

impl Laws {
    pub fn all() -> Self {
        Law::ALL.iter().fold(Self(0), |laws, law| laws.and(*law))
    }

    pub fn only(law: Law) -> Self {
        Self(0).and(law)
    }

    fn and(self, law: Law) -> Self {
        Self(self.0 | 1 << law as u32)
    }

    pub fn has(self, law: Law) -> bool {
        self.0 >> law as u32 & 1 == 1
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.words())
    }
}
