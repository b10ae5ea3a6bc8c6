//! The scenes that are checked, and those in which each fault must show.

use warden::policy::YieldMode;

use super::broken::Fault;
use super::scene::{Allowed, Kind, Scene};

/// Nothing but posts and releases.
const CALM: Allowed = Allowed {
    time: false,
    connections: false,
    clients: false,
    operator: false,
    broker: false,
    hardware: false,
};

const TIME: Allowed = Allowed { time: true, ..CALM };

/// Small enough for every run of the tests.
pub fn short() -> Vec<Scene> {
    use Kind::{Both, First, Load, Mic, Nameless, One, Poll, Share};
    let cast = [(Both, 1), (Share, 1), (Load, 1)];
    let connections = Allowed {
        connections: true,
        ..TIME
    };
    let clients = Allowed {
        clients: true,
        ..TIME
    };
    let operator = Allowed {
        operator: true,
        ..TIME
    };
    let broker = Allowed {
        connections: true,
        broker: true,
        ..CALM
    };
    let hardware = Allowed {
        hardware: true,
        ..CALM
    };
    vec![
        Scene::new("clients", 3, &cast, clients),
        Scene::new("operator", 3, &cast, operator),
        Scene::new("connections", 3, &cast, connections),
        Scene::new("restarts", 3, &cast, broker),
        Scene::new("urgent work", 4, &[(Both, 1), (One, 1), (Mic, 2)], CALM),
        Scene::new("two loads", 5, &[(Load, 2), (One, 1), (Mic, 2)], CALM),
        Scene::new("shares", 4, &[(Share, 3), (First, 1)], CALM),
        Scene::new(
            "polls",
            2,
            &[(Poll, 1), (First, 1)],
            Allowed {
                broker: true,
                ..connections
            },
        ),
        Scene::new(
            "nameless",
            3,
            &[(Nameless, 1), (Both, 1)],
            Allowed {
                time: true,
                ..broker
            },
        ),
        Scene::new("unplugged", 3, &[(Both, 1), (One, 1), (First, 1)], hardware),
        Scene::new("every way ends", 3, &cast, Allowed::ALL).ending(1),
        Scene::new(
            "asked to yield",
            3,
            &[(First, 1), (Mic, 1), (Both, 1)],
            clients,
        )
        .yielding(YieldMode::Take),
        Scene::new(
            "asked for a share",
            3,
            &[(First, 1), (One, 1), (Share, 1)],
            TIME,
        )
        .yielding(YieldMode::Ask),
        Scene::new("asked for the slot", 3, &[(Load, 2), (Mic, 1)], TIME).yielding(YieldMode::Take),
        Scene::new(
            "draining",
            3,
            &[(Share, 2), (One, 1)],
            Allowed {
                time: true,
                ..operator
            },
        )
        .draining(),
        Scene::new(
            "left behind",
            3,
            &[(Share, 2), (One, 1)],
            Allowed {
                clients: true,
                ..TIME
            },
        )
        .draining(),
        Scene::new(
            "draining over restarts",
            2,
            &[(Share, 1), (First, 1)],
            Allowed {
                operator: true,
                broker: true,
                ..TIME
            },
        )
        .yielding(YieldMode::Take)
        .draining(),
    ]
}

/// Larger bounds, for a machine that has the time.
pub fn long() -> Vec<Scene> {
    use Kind::{Both, First, Load, Mic, Nameless, One, Poll, Share};
    let away = Allowed {
        connections: true,
        broker: true,
        ..TIME
    };
    let clients = Allowed {
        clients: true,
        ..TIME
    };
    let everything = Allowed {
        hardware: true,
        ..Allowed::ALL
    };
    let all = Kind::ALL.map(|kind| (kind, 3));
    vec![
        Scene::new(
            "both, share, load, twice",
            3,
            &[(Both, 2), (Share, 2), (Load, 2)],
            everything,
        ),
        Scene::new(
            "both, share, load and one",
            4,
            &[(Both, 1), (Share, 1), (Load, 1), (One, 1)],
            away,
        ),
        Scene::new(
            "urgent work, longer",
            4,
            &[(Both, 2), (One, 2), (Mic, 2)],
            away,
        ),
        Scene::new(
            "two loads in time",
            5,
            &[(Load, 2), (One, 1), (Mic, 2)],
            TIME,
        ),
        Scene::new("anyone", 5, &all, CALM),
        Scene::new(
            "polls and more",
            3,
            &[(Poll, 2), (Nameless, 2), (First, 1)],
            Allowed::ALL,
        ),
        Scene::new(
            "every way ends, with more mischief",
            4,
            &[(Both, 1), (Share, 1), (Load, 1), (One, 1)],
            Allowed::ALL,
        )
        .ending(3),
        Scene::new(
            "asked to yield, and draining",
            4,
            &[(Both, 1), (Share, 2), (Load, 1), (First, 1)],
            Allowed {
                operator: true,
                ..clients
            },
        )
        .yielding(YieldMode::Take)
        .draining(),
        Scene::new(
            "every way ends, where leases are taken",
            4,
            &[(Both, 1), (Share, 1), (Load, 1), (First, 1)],
            Allowed::ALL,
        )
        .yielding(YieldMode::Take)
        .draining()
        .ending(2),
    ]
}

/// A scene in which a broken copy cannot hide for long.
pub fn of_fault(fault: Fault) -> Scene {
    use Kind::{Both, First, Load, Mic, One, Share};
    let connections = Allowed {
        connections: true,
        ..CALM
    };
    let clients = Allowed {
        clients: true,
        ..CALM
    };
    let operator = Allowed {
        operator: true,
        ..CALM
    };
    let broker = Allowed {
        broker: true,
        ..CALM
    };
    let scene = |clients, cast: &[(Kind, usize)], allowed| {
        Scene::new(fault.words(), clients, cast, allowed)
    };
    match fault {
        Fault::FullGpu => scene(4, &[(One, 1), (Share, 3)], CALM),
        Fault::SecondLoad => scene(2, &[(Load, 2)], CALM),
        Fault::TokenFromImage | Fault::ForgetLease => scene(2, &[(One, 2)], broker),
        Fault::EndTwice => scene(2, &[(Both, 1), (One, 1)], clients),
        Fault::EarlyTimeout | Fault::NeverExpires => scene(2, &[(Both, 1), (One, 1)], TIME),
        Fault::ResetAll => scene(2, &[(One, 2)], operator),
        Fault::Drainless => scene(2, &[(Share, 1), (One, 1)], operator).draining(),
        Fault::Orphans => scene(2, &[(Share, 1), (One, 1)], clients).draining(),
        Fault::Nag | Fault::Snatch => {
            scene(2, &[(First, 1), (Mic, 1), (Both, 1)], TIME).yielding(YieldMode::Take)
        }
        Fault::Grudge => scene(
            3,
            &[(First, 1), (One, 1), (Mic, 1)],
            Allowed {
                clients: true,
                ..TIME
            },
        )
        .yielding(YieldMode::Ask),
        Fault::NewId => scene(2, &[(Both, 1), (One, 1)], connections),
        Fault::Unwritten => scene(3, &[(Both, 1), (One, 1), (Mic, 1)], broker),
        Fault::Forgotten => scene(2, &[(Load, 1), (One, 1)], TIME).ending(0),
        _ => scene(3, &[(Both, 1), (One, 2), (Mic, 1)], CALM),
    }
}
