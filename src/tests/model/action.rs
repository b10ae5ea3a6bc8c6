//! Everything that can happen.

use std::fmt;

use super::scene::{Kind, Who};

/// Everything that can happen next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A unit of time passes.
    Tick,
    /// A client asks.
    Post(Kind),
    /// It posts the same again, on a new connection.
    Again(Who),
    /// Its connection breaks while it waits.
    Lose(Who),
    /// The answer with its lease does not get through.
    Undelivered(Who),
    /// It looks where its request stands.
    Look(Who),
    Renew(Who),
    /// It renews, and its model is loaded.
    Loaded(Who),
    Release(Who),
    Cancel(Who),
    OwnerGone(Who),
    /// Its owner's process is gone, and what that had started could not be ended.
    OwnerLeaves(Who),
    Force(Who),
    /// The processes of a lease that was taken are gone.
    Drained,
    Reset,
    /// A reset that finds this one's owner gone.
    ResetGone(Who),
    ForceAll,
    /// And the queue.
    ClearAll,
    /// The broker dies and begins again from its journal.
    Crash,
    /// The host does.
    Reboot,
    /// The broker shuts down.
    Stop,
    /// The second GPU vanishes.
    Unplug,
    /// It is back.
    Plug,
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tick => f.write_str("time passes"),
            Self::Post(kind) => write!(f, "post {kind}"),
            Self::Again(who) => write!(f, "post {who} again"),
            Self::Lose(who) => write!(f, "lose the connection of {who}"),
            Self::Undelivered(who) => write!(f, "the answer to {who} is lost"),
            Self::Look(who) => write!(f, "look at {who}"),
            Self::Renew(who) => write!(f, "renew {who}"),
            Self::Loaded(who) => write!(f, "{who} has loaded"),
            Self::Release(who) => write!(f, "release {who}"),
            Self::Cancel(who) => write!(f, "cancel {who}"),
            Self::OwnerGone(who) => write!(f, "the owner of {who} dies"),
            Self::OwnerLeaves(who) => write!(f, "the owner of {who} dies and leaves processes"),
            Self::Force(who) => write!(f, "force {who}"),
            Self::Drained => f.write_str("drained"),
            Self::Reset => f.write_str("reset"),
            Self::ResetGone(who) => write!(f, "reset, the owner of {who} being gone"),
            Self::ForceAll => f.write_str("force all"),
            Self::ClearAll => f.write_str("force all and clear the queue"),
            Self::Crash => f.write_str("crash"),
            Self::Reboot => f.write_str("the host restarts"),
            Self::Stop => f.write_str("shut down"),
            Self::Unplug => f.write_str("unplug"),
            Self::Plug => f.write_str("plug in"),
        }
    }
}
