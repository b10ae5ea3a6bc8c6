//! Words for people that are made here rather than where they are drawn.

use warden::wire::Outcome;

/// A duration in two units at most.
pub fn duration(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0 => format!("{ms} ms"),
        1..60 => format!("{s} s"),
        60..3_600 => format!("{} m {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} m", s / 3_600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3_600 % 24),
    }
}

/// As it stands on the wire.
pub fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Released => "released",
        Outcome::Expired => "expired",
        Outcome::OwnerGone => "owner_gone",
        Outcome::Yielded => "yielded",
        Outcome::Forced => "forced",
        Outcome::Reset => "reset",
        Outcome::Undelivered => "undelivered",
        Outcome::HostRestarted => "host_restarted",
        Outcome::Cancelled => "cancelled",
        Outcome::TimedOut => "timed_out",
        Outcome::ClientGone => "client_gone",
        Outcome::Cleared => "cleared",
        Outcome::Impossible => "impossible",
    }
}

/// How something ended, in a sentence's beginning.
pub fn ended(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Released => "released",
        Outcome::Expired => "expired: it was not renewed",
        Outcome::OwnerGone => "ended: its process is gone",
        Outcome::Yielded => "given back as asked",
        Outcome::Forced => "ended by force",
        Outcome::Reset => "ended by a reset",
        Outcome::Undelivered => "taken back: nobody was there for the answer",
        Outcome::HostRestarted => "ended: the host was restarted",
        Outcome::Cancelled => "cancelled",
        Outcome::TimedOut => "timed out",
        Outcome::ClientGone => "its client is gone",
        Outcome::Cleared => "cleared out of the queue",
        Outcome::Impossible => "no GPU can serve it any more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        let said = [7, 59_999, 60_000, 102_000, 3_600_000, 90_000_000].map(duration);
        assert_eq!(
            said,
            ["7 ms", "59 s", "1 m 0 s", "1 m 42 s", "1 h 0 m", "1 d 1 h"]
        );
    }
}
