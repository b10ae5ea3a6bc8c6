//! The calls of the API, one method each.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};
use warden::wire::config::LiveConfig;
use warden::wire::reload::{EnabledBody, HotReload, ReloadBody, Reloaded};
use warden::wire::{
    Ended, ForceReleaseAllBody, ForceReleaseBody, ForcedAll, Granted, LockBody, RenewBody, Renewed,
    RequestState, ResetBody, Status, UnlockBody, WasReset,
};
use warden::{LeaseId, RequestId};

use crate::connect::{Call, Transport};
use crate::endpoint::{Address, Endpoint};
use crate::error::{Error, Refusal};
use crate::feed::EventStream;
use crate::lease::Lease;
use crate::live::ConfigEvents;

/// How long any call but a lock may take: the API promises a status within 10 s.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A new program may take 10 s to be looked at, and 60 s to start.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(90);
/// The largest answer that is read: a status with the fullest queue that a policy allows has room.
pub(crate) const MAX_ANSWER: usize = 256 << 20;
/// How long to wait before asking again where the broker did not say.
const RETRY_FIRST: Duration = Duration::from_millis(50);
/// The longest wait between two attempts, well inside the broker's default reconnect grace (10 s).
const RETRY_MOST: Duration = Duration::from_secs(1);
/// The longest that a broker's `Retry-After` is heeded, for the same reason.
const RETRY_AFTER_MOST: Duration = Duration::from_secs(5);
/// How long a lock that names no time-out keeps on trying while the broker is away, whatever it has
/// waited before: the API's default acquire time-out.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// A broker, as its clients see it. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Arc<Transport>,
}

/// How much longer a lock is sent again that its broker does not answer.
#[derive(Debug)]
struct Patience {
    left: Duration,
    /// The client says how long it waits, in the queue and elsewhere. Else the broker's rules say how
    /// long it may stand in the queue, and that is no part of this.
    is_named: bool,
}

impl Patience {
    fn of(body: &LockBody) -> Self {
        Self {
            left: body
                .timeout_ms
                .map_or(DEFAULT_TIMEOUT, Duration::from_millis),
            is_named: body.timeout_ms.is_some(),
        }
    }

    fn spend(&mut self, time: Duration, in_queue: bool) {
        if self.is_named || !in_queue {
            self.left = self.left.saturating_sub(time);
        }
    }
}

/// What became of a lock that did not want to wait.
#[derive(Clone, Debug)]
pub enum Submitted {
    /// A GPU was free.
    Granted(Box<Granted>),
    /// It is in the queue; look at it with [`Client::request`], or it ends after 60 s.
    Queued(Box<RequestState>),
}

impl Client {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            transport: Arc::new(Transport::new(endpoint)),
        }
    }

    /// Where it looks for its broker.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.transport.endpoint()
    }

    /// Whether the broker serves requests. Sends no token, so it may be asked of a stranger.
    ///
    /// # Errors
    /// [`Error::Problem`] with `not_ready` while it replays its journal; see [`Error`] for others.
    pub async fn healthz(&self) -> Result<(), Error> {
        let call = call(Method::GET, "/healthz", None);
        let (address, response) =
            within(CALL_TIMEOUT, self, self.transport.send(&call, false)).await?;
        match response.status() {
            StatusCode::OK => Ok(()),
            _ => Err(refusal(&address, response).await),
        }
    }

    /// The state of everything.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn status(&self) -> Result<Status, Error> {
        self.get("/v1/gpu/status").await
    }

    /// Waits in the queue for a grant, through broken connections and restarts of the broker.
    ///
    /// A request id is made where `body` has none, and the request is sent again under it until
    /// there is an answer, so that the place in the queue is kept. A broker that was never reached
    /// is given up at once; one that went away, after the acquire time-out, or after two minutes where
    /// `body` names none. Dropping the future
    /// leaves the queue only after the broker's reconnect grace: [`Client::cancel`] does at once.
    ///
    /// # Errors
    /// [`Error::Problem`] when it was refused, timed out or ended otherwise; see [`Error`].
    pub async fn lock(&self, body: LockBody) -> Result<Granted, Error> {
        self.lock_with(body, &[]).await
    }

    /// As [`Client::lock`], for a request that joins none of another process: where one that lives
    /// has a request of this id, in the queue or granted, it is refused with `request_conflict`.
    ///
    /// # Errors
    /// As [`Client::lock`].
    pub async fn lock_new(&self, body: LockBody) -> Result<Granted, Error> {
        let is_new = (header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        self.lock_with(body, &[is_new]).await
    }

    async fn lock_with(
        &self,
        mut body: LockBody,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Granted, Error> {
        body.wait = None;
        if body.request_id.is_none() {
            body.request_id = Some(new_request_id()?);
        }
        let mut patience = Patience::of(&body);
        let mut reached = false;
        let mut pause = RETRY_FIRST;
        loop {
            let posted = Instant::now();
            let error = match self.post_lock(&body, headers).await {
                Ok(granted) => return Ok(granted),
                Err(error) if error.is_away() => error,
                Err(error) => return Err(error),
            };
            let was_there = !matches!(
                error,
                Error::Stranger { .. }
                    | Error::Unreachable {
                        was_connected: false,
                        ..
                    }
            );
            reached |= was_there;
            patience.spend(posted.elapsed(), was_there);
            if !reached || patience.left.is_zero() {
                return Err(error);
            }
            tracing::debug!(%error, "the broker is away; the request is sent again");
            let wanted = error.refusal().and_then(|refusal| refusal.retry_after);
            let wanted = wanted.map_or(pause, |wanted| wanted.min(RETRY_AFTER_MOST));
            tokio::time::sleep(wanted).await;
            patience.spend(wanted, false);
            pause = (pause * 2).min(RETRY_MOST);
        }
    }

    /// As [`Client::lock`], with a guard that renews the lease and gives it back.
    ///
    /// # Errors
    /// As [`Client::lock`].
    pub async fn acquire(&self, body: LockBody) -> Result<Lease, Error> {
        let granted = self.lock(body).await?;
        Ok(Lease::keep(self.clone(), granted))
    }

    /// Sends a lock request once, and waits as long as `body` says.
    ///
    /// # Errors
    /// See [`Error`]. A broken connection is [`Error::Unreachable`].
    pub async fn lock_once(&self, body: &LockBody) -> Result<Granted, Error> {
        self.post_lock(body, &[]).await
    }

    async fn post_lock(
        &self,
        body: &LockBody,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Granted, Error> {
        let mut call = call(Method::POST, "/v1/gpu/lock", Some(to_json(body)?));
        call.headers.extend_from_slice(headers);
        self.exchange(&call).await
    }

    /// Queues without waiting: the answer is a lease or the place in the queue.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn submit(&self, mut body: LockBody) -> Result<Submitted, Error> {
        body.wait = Some(false);
        let call = call(Method::POST, "/v1/gpu/lock", Some(to_json(&body)?));
        within(CALL_TIMEOUT, self, async {
            let (address, response) = self.transport.send(&call, true).await?;
            match response.status() {
                StatusCode::OK => Ok(Submitted::Granted(read(&address, response).await?)),
                StatusCode::ACCEPTED => Ok(Submitted::Queued(read(&address, response).await?)),
                _ => Err(refusal(&address, response).await),
            }
        })
        .await
    }

    /// Where a request stands.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn request(&self, id: &RequestId) -> Result<RequestState, Error> {
        self.get(&request_path(id)).await
    }

    /// Ends a request wherever it stands: a waiter leaves the queue, a lease is given back.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cancel(&self, id: &RequestId) -> Result<RequestState, Error> {
        self.short(Method::DELETE, &request_path(id), None).await
    }

    /// Puts a lease's deadline off by its ttl.
    ///
    /// # Errors
    /// `lease_ended` where it is lost, `stale_token`; see [`Error`].
    pub async fn renew(&self, body: &RenewBody) -> Result<Renewed, Error> {
        self.post("/v1/gpu/renew", body).await
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// `lease_ended` where it was over before, `stale_token`; see [`Error`].
    pub async fn unlock(&self, lease_id: &LeaseId, token: u64) -> Result<Ended, Error> {
        let lease_id = lease_id.clone();
        self.post("/v1/gpu/unlock", &UnlockBody { lease_id, token })
            .await
    }

    /// Ends what is stale and serves the queue; healthy leases stay.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn reset(&self) -> Result<WasReset, Error> {
        self.post("/v1/gpu/reset", &ResetBody {}).await
    }

    /// Ends one lease, whoever holds it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn force_release(&self, lease_id: &LeaseId) -> Result<Ended, Error> {
        let lease_id = lease_id.clone();
        self.post("/v1/gpu/force-release", &ForceReleaseBody { lease_id })
            .await
    }

    /// Ends every lease, and with `clear_queue` refuses every waiter.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn force_release_all(&self, clear_queue: bool) -> Result<ForcedAll, Error> {
        self.post(
            "/v1/gpu/force-release-all",
            &ForceReleaseAllBody { clear_queue },
        )
        .await
    }

    /// Follows what happens, from a snapshot on; connects when it is first asked for an item.
    #[must_use]
    pub fn events(&self) -> EventStream {
        EventStream::new(Arc::clone(&self.transport))
    }

    /// The configuration that programs share, as it is live: shared keys only.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn config(&self) -> Result<LiveConfig, Error> {
        self.get("/v1/config").await
    }

    /// Follows that configuration, from all of it on; connects when it is first asked for an item.
    #[must_use]
    pub fn config_events(&self) -> ConfigEvents {
        ConfigEvents::new(Arc::clone(&self.transport))
    }

    /// What the broker can take anew while it runs, and how that stands.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn hot_reload(&self) -> Result<HotReload, Error> {
        self.get("/v1/hot-reload").await
    }

    /// Has the broker take a module, or all, anew. Where that is its own program, the answer comes
    /// from the one that goes on.
    ///
    /// # Errors
    /// `reload_refused` with what was said; `reload_disabled` where the program may not be reloaded;
    /// `invalid_request` for a module that is not known; see [`Error`].
    pub async fn reload(&self, body: &ReloadBody) -> Result<Reloaded, Error> {
        let body = Some(to_json(body)?);
        let call = call(Method::POST, "/v1/hot-reload", body);
        let reload = self.exchange(&call);
        within(RELOAD_TIMEOUT, self, reload).await
    }

    /// Decides whether the broker may take new program code.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn enable_reload(&self, enabled: bool) -> Result<HotReload, Error> {
        let body = Some(to_json(&EnabledBody { enabled })?);
        self.short(Method::PUT, "/v1/hot-reload/enabled", body)
            .await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.short(Method::GET, path, None).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        self.short(Method::POST, path, Some(to_json(body)?)).await
    }

    async fn short<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<T, Error> {
        let call = call(method, path, body);
        within(CALL_TIMEOUT, self, self.exchange(&call)).await
    }

    async fn exchange<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, Error> {
        let (address, response) = self.transport.send(call, true).await?;
        if response.status() == StatusCode::OK {
            read(&address, response).await
        } else {
            Err(refusal(&address, response).await)
        }
    }
}

/// A request id that nobody else makes: 128 bits from the system.
///
/// # Errors
/// Where the system has no randomness to give.
pub fn new_request_id() -> Result<RequestId, Error> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|source| Error::Protocol {
        address: "the system".to_owned(),
        what: format!("it gives no random numbers: {source}"),
    })?;
    Ok(format!("c-{:032x}", u128::from_be_bytes(bytes)).into())
}

fn call(method: Method, path: &str, body: Option<Bytes>) -> Call<'_> {
    Call {
        method,
        path,
        body,
        headers: Vec::new(),
    }
}

/// Ids may hold nothing that a path could not, but a caller may have typed one.
fn request_path(id: &RequestId) -> String {
    use std::fmt::Write as _;
    let mut path = "/v1/gpu/requests/".to_owned();
    for byte in id.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}

fn to_json(body: &impl Serialize) -> Result<Bytes, Error> {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|source| Error::Protocol {
            address: "this program".to_owned(),
            what: format!("the request cannot be written as JSON: {source}"),
        })
}

async fn within<T>(
    limit: Duration,
    client: &Client,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(limit, future).await.unwrap_or_else(|_| {
        Err(Error::Unreachable {
            address: client.endpoint().to_string(),
            reason: format!("no answer within {} s", limit.as_secs()),
            was_connected: true,
        })
    })
}

async fn read<T: DeserializeOwned>(
    address: &Address,
    response: Response<Incoming>,
) -> Result<T, Error> {
    let bytes = collect(address, response).await?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Protocol {
        address: address.to_string(),
        what: source.to_string(),
    })
}

async fn collect(address: &Address, response: Response<Incoming>) -> Result<Bytes, Error> {
    let body = Limited::new(response.into_body(), MAX_ANSWER);
    let body = body.collect().await.map_err(|source| Error::Unreachable {
        address: address.to_string(),
        reason: format!("the answer broke off: {source}"),
        was_connected: true,
    })?;
    Ok(body.to_bytes())
}

/// Turns an answer that is no success into the error that it says.
pub(crate) async fn refusal(address: &Address, response: Response<Incoming>) -> Error {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    let bytes = match collect(address, response).await {
        Ok(bytes) => bytes,
        Err(error) => return error,
    };
    match serde_json::from_slice(&bytes) {
        Ok(problem) => Error::Problem(Box::new(Refusal {
            problem,
            retry_after,
        })),
        Err(_) => Error::Protocol {
            address: address.to_string(),
            what: format!("{status} without a problem that is known here"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_in_the_queue_is_not_waiting_for_a_broker_that_is_away() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let mut unsaid = Patience::of(&LockBody::default());
        unsaid.spend(minutes(600), true);
        unsaid.spend(minutes(1), false);
        unsaid.spend(minutes(600), true);
        assert_eq!(unsaid.left, minutes(1));
        unsaid.spend(minutes(2), false);
        assert!(unsaid.left.is_zero());
        let mut named = Patience::of(&LockBody {
            timeout_ms: Some(60_000),
            ..LockBody::default()
        });
        named.spend(minutes(1), true);
        assert!(named.left.is_zero());
    }
}
