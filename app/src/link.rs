//! How the connection to the broker stands, in the words of the window.

use std::path::Path;

use warden::Code;
use warden_client::{Address, Endpoint, Error};
use warden_view::{Broker, Link, LinkState, Text};

use crate::broker::{Ended, own_name};

/// A state of the connection and what to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which state.
    pub state: LinkState,
    /// In a sentence for the operator.
    pub detail: String,
}

impl Standing {
    /// What an error means for who looks at the window. `seen`: the broker was heard from before.
    #[must_use]
    pub fn of(error: &Error, seen: bool) -> Self {
        let away = if seen {
            LinkState::Gone
        } else {
            LinkState::Connecting
        };
        let state = match error {
            Error::Unreachable { .. } => away,
            Error::Stranger { .. } | Error::Protocol { .. } => LinkState::Stranger,
            Error::Token { .. } | Error::BadAddress { .. } => LinkState::Refused,
            Error::Problem(refusal) => match refusal.problem.code {
                Code::NotReady => LinkState::Replaying,
                Code::ShuttingDown | Code::TooManyRequests | Code::JournalUnwritable => away,
                _ => LinkState::Refused,
            },
        };
        Self {
            state,
            detail: error.to_string(),
        }
    }

    /// A broker that this window started has ended before it answered.
    #[must_use]
    pub fn of_ended(ended: &Ended, seen: bool) -> Self {
        match &ended.stranger {
            Some(address) => Self {
                state: LinkState::Stranger,
                detail: format!(
                    "something else listens at {address}, so no broker could be started there; it \
                     was sent no token. Give the broker another address with --addr"
                ),
            },
            None => Self {
                state: if seen {
                    LinkState::Gone
                } else {
                    LinkState::Connecting
                },
                detail: ended.said.clone(),
            },
        }
    }

    /// Puts it into the picture. Figures that were live freeze at `now_ms`.
    pub fn show(&self, link: &mut Link, now_ms: i64, seen: bool) {
        if self.state == LinkState::Live {
            link.frozen_at_ms = None;
        } else if link.state == LinkState::Live {
            link.frozen_at_ms = Some(now_ms);
        } else if !seen {
            link.frozen_at_ms = None;
        }
        if link.state != self.state || link.since_ms == 0 {
            link.since_ms = now_ms;
        }
        link.state = self.state;
        link.detail = self.detail.as_str().into();
    }
}

/// Names the broker before anything was heard from it.
pub fn expect(broker: &mut Broker, endpoint: &Endpoint) {
    let default = || warden_client::DEFAULT_ADDR.to_owned();
    let published = endpoint.published().ok().map(|published| published.address);
    let address = endpoint.explicit_address().map(ToString::to_string);
    broker.address = address.or(published).unwrap_or_else(default).into();
    broker.data_dir = path(endpoint.data_dir());
}

/// Names the broker that has answered at `address`.
pub fn name(broker: &mut Broker, endpoint: &Endpoint, address: &Address) {
    broker.address = address.to_string().into();
    let published = endpoint.published().ok().filter(|published| match address {
        Address::Unix(path) => published.socket.as_ref() == Some(path),
        tcp @ Address::Tcp { .. } => published
            .address
            .parse::<Address>()
            .is_ok_and(|other| other.is_same_as(tcp)),
    });
    let starter = published
        .as_ref()
        .and_then(|published| published.started_by.as_deref());
    broker.started_by_window = starter == Some(own_name().as_str());
    broker.pid = published.as_ref().map(|published| published.pid);
    broker.data_dir = published.map_or_else(|| path(endpoint.data_dir()), |p| path(&p.data_dir));
}

fn path(path: &Path) -> Text {
    path.display().to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable() -> Error {
        Error::Unreachable {
            address: "127.0.0.1:1".to_owned(),
            reason: "refused".to_owned(),
            was_connected: true,
        }
    }

    #[test]
    fn a_broker_that_goes_away_freezes_the_figures_until_it_is_back() {
        let mut link = Link::default();
        Standing::of(&unreachable(), false).show(&mut link, 1_000, false);
        assert_eq!(
            (link.state, link.frozen_at_ms),
            (LinkState::Connecting, None)
        );
        let live = Standing {
            state: LinkState::Live,
            detail: String::new(),
        };
        live.show(&mut link, 2_000, true);
        assert_eq!((link.state, link.since_ms), (LinkState::Live, 2_000));
        Standing::of(&unreachable(), true).show(&mut link, 3_000, true);
        Standing::of(&unreachable(), true).show(&mut link, 4_000, true);
        assert_eq!(
            (link.state, link.frozen_at_ms),
            (LinkState::Gone, Some(3_000))
        );
        assert_eq!(link.since_ms, 3_000);
        assert!(link.detail.contains("127.0.0.1:1"));
        live.show(&mut link, 5_000, true);
        assert_eq!((link.state, link.frozen_at_ms), (LinkState::Live, None));
    }

    #[test]
    fn only_this_very_process_has_started_what_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let find = warden_client::Find {
            data_dir: Some(folder.path().to_owned()),
            ..warden_client::Find::default()
        };
        let endpoint = find.endpoint().unwrap();
        let tcp: Address = "127.0.0.1:4711".parse().unwrap();
        let by = |who: &str| {
            let published = serde_json::json!({
                "pid": 1, "version": "1", "socket": null, "address": "127.0.0.1:4711",
                "data_dir": folder.path(), "started_at": "", "started_by": who,
            });
            std::fs::write(folder.path().join("endpoint"), published.to_string()).unwrap();
            let mut broker = Broker::default();
            name(&mut broker, &endpoint, &tcp);
            broker.started_by_window
        };
        assert!(by(&own_name()), "also after a warm restart, which keeps it");
        let pid = std::process::id();
        assert!(
            !by(&format!("warden-dashboard {pid} 1")),
            "its number, not its start"
        );
    }

    #[test]
    fn a_stranger_on_the_port_is_named() {
        let stranger = Error::Stranger {
            address: "127.0.0.1:8080".to_owned(),
            data_dir: "/var/lib/warden".into(),
        };
        let standing = Standing::of(&stranger, false);
        assert_eq!(standing.state, LinkState::Stranger);
        assert!(standing.detail.contains("127.0.0.1:8080"));
        let ended = Ended {
            said: String::new(),
            stranger: Some("127.0.0.1:8080".to_owned()),
        };
        assert_eq!(Standing::of_ended(&ended, false).state, LinkState::Stranger);
    }
}
