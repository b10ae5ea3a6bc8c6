//! The same client for threads that are in no runtime. Never call it from async code.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use warden::wire::config::LiveConfig;
use warden::wire::reload::{HotReload, ReloadBody, Reloaded};
use warden::wire::{
    Ended, ForcedAll, Granted, LockBody, RenewBody, Renewed, RequestState, Status, WasReset,
};
use warden::{LeaseId, RequestId};

use crate::client::Submitted;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::feed::Feed;
use crate::lease::LeaseState;

/// A [`crate::Client`] with a runtime of one thread of its own; clones share both.
#[derive(Clone, Debug)]
pub struct Client {
    client: crate::Client,
    runtime: Arc<Runtime>,
}

/// A [`crate::Lease`] that renews itself in its client's runtime.
#[derive(Debug)]
pub struct Lease {
    granted: Granted,
    state: watch::Receiver<LeaseState>,
    // Some until it is closed or dropped.
    lease: Option<crate::Lease>,
    runtime: Arc<Runtime>,
}

macro_rules! same_calls {
    ($($name:ident($($arg:ident: $kind:ty),*) -> $answer:ty;)*) => {
        impl Client {
            $(
                #[doc = concat!("[`crate::Client::", stringify!($name), "`].")]
                ///
                /// # Errors
                /// See [`Error`].
                pub fn $name(&self, $($arg: $kind),*) -> Result<$answer, Error> {
                    self.runtime.block_on(self.client.$name($($arg),*))
                }
            )*
        }
    };
}

same_calls! {
    healthz() -> ();
    status() -> Status;
    lock(body: LockBody) -> Granted;
    submit(body: LockBody) -> Submitted;
    request(id: &RequestId) -> RequestState;
    cancel(id: &RequestId) -> RequestState;
    renew(body: &RenewBody) -> Renewed;
    unlock(lease_id: &LeaseId, token: u64) -> Ended;
    reset() -> WasReset;
    force_release(lease_id: &LeaseId) -> Ended;
    force_release_all(clear_queue: bool) -> ForcedAll;
    config() -> LiveConfig;
    hot_reload() -> HotReload;
    reload(body: &ReloadBody) -> Reloaded;
    enable_reload(enabled: bool) -> HotReload;
}

impl Client {
    /// Starts the runtime's thread; connects to nothing yet.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn new(endpoint: Endpoint) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("warden-client")
            .enable_all()
            .build()?;
        Ok(Self {
            client: crate::Client::new(endpoint),
            runtime: Arc::new(runtime),
        })
    }

    /// The async client, for use in [`Client::spawn`].
    #[must_use]
    pub fn async_client(&self) -> &crate::Client {
        &self.client
    }

    /// Runs a future in the client's runtime.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(future);
    }

    /// [`crate::Client::acquire`].
    ///
    /// # Errors
    /// See [`Error`].
    pub fn acquire(&self, body: LockBody) -> Result<Lease, Error> {
        let lease = self.runtime.block_on(self.client.acquire(body))?;
        Ok(Lease {
            granted: lease.granted().clone(),
            state: lease.watch(),
            lease: Some(lease),
            runtime: Arc::clone(&self.runtime),
        })
    }

    /// [`Feed::spawn`]: follows the broker in the client's runtime, which must outlive the feed.
    #[must_use]
    pub fn feed(&self, wake: impl Fn() + Send + 'static) -> Feed {
        let _entered = self.runtime.enter();
        Feed::spawn(&self.client, wake)
    }
}

impl Lease {
    /// What the broker granted.
    #[must_use]
    pub fn granted(&self) -> &Granted {
        &self.granted
    }

    /// How it stands now.
    #[must_use]
    pub fn state(&self) -> LeaseState {
        self.state.borrow().clone()
    }

    /// [`crate::Lease::follow_events`].
    pub fn follow_events(&mut self) {
        let _entered = self.runtime.enter();
        if let Some(lease) = &mut self.lease {
            lease.follow_events();
        }
    }

    /// Waits until it is asked for or lost ([`crate::Lease::asked`]), for at most this long, and
    /// says how it stands then.
    pub fn wait_asked(&self, at_most: Duration) -> LeaseState {
        if let Some(lease) = &self.lease {
            // Made where the clock is: in the runtime.
            let asked = async { tokio::time::timeout(at_most, lease.asked()).await };
            let _ = self.runtime.block_on(asked);
        }
        self.state()
    }

    /// [`crate::Lease::close`].
    ///
    /// # Errors
    /// See there.
    pub fn close(mut self) -> Result<Option<Ended>, Error> {
        match self.lease.take() {
            Some(lease) => self.runtime.block_on(lease.close()).map(Some),
            None => Ok(None),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            // Giving it back is a task of the runtime, which may end with this very handle.
            let _ = self.runtime.block_on(lease.close());
        }
    }
}
