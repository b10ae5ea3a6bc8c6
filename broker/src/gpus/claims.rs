//! Claims on this host's real GPUs, so that two brokers never hand out the same.
//!
//! A claim is a listening socket in the abstract name space, named after the GPU. The kernel knows
//! each such name once, whoever has it: there is no directory that one user could close to another,
//! nothing is left behind, and a claim is gone with the process that has it, however that ends.
//! Who connects hears from the kernel which process of which user that is, and from the broker
//! itself which data directory it serves.
//!
//! The names are those of one network name space. A broker in another one, as in most containers,
//! is another host's to its clients too; whoever shows one GPU to several containers has to give it
//! to the broker of one.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{self, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use warden::{Gpu, GpuId};

use crate::sum;

const RETRY: Duration = Duration::from_millis(10);
/// How long whoever has a name is given to say more than the kernel does.
const ASK_PATIENCE: Duration = Duration::from_millis(300);
/// The most that is read of that.
const MAX_CARD: u64 = 8 * 1024;
/// What the system has room for in an abstract name.
const MAX_NAME: usize = 100;

/// What a broker says of itself to others that want its GPUs.
#[derive(Debug, Serialize, Deserialize)]
struct Card {
    data_dir: PathBuf,
}

/// Who has a GPU that was wanted, as far as can be known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rival {
    pid: Option<i32>,
    uid: Option<u32>,
    data_dir: Option<String>,
}

impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another broker of this host")?;
        let pid = self.pid.map(|pid| format!("pid {pid}"));
        let user = self.uid.map(|uid| match user_name(uid) {
            Some(name) => format!("user {name}"),
            None => format!("uid {uid}"),
        });
        let dir = self.data_dir.as_ref();
        let dir = dir.map(|dir| format!("data directory {dir}"));
        let known: Vec<String> = [pid, user, dir].into_iter().flatten().collect();
        if known.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", known.join(", "))
    }
}

/// One GPU that is ours.
#[derive(Debug)]
struct Claim {
    listener: Arc<UnixListener>,
    /// Answers those who ask.
    host: AbortHandle,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.host.abort();
    }
}

/// The GPUs that this broker has claimed. Dropping it gives them up.
#[derive(Debug)]
pub(crate) struct Claims {
    /// Tells the hosts apart that tests play.
    host: String,
    card: Arc<[u8]>,
    held: Mutex<BTreeMap<GpuId, Claim>>,
}

/// Why a GPU could not be claimed.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Somebody has it.
    Taken(Rival),
    /// The system did not let us.
    Failed(io::Error),
}

impl Claims {
    /// None yet. `host_root` is where the kernel shows this host's GPUs.
    pub(crate) fn new(host_root: &Path, data_dir: &Path) -> Self {
        let host = match host_root == Path::new("/") {
            true => String::new(),
            false => host_root.display().to_string(),
        };
        let card = Card {
            data_dir: data_dir.to_owned(),
        };
        Self {
            host,
            // A path that is no text is left out.
            card: serde_json::to_vec(&card).unwrap_or_default().into(),
            held: Mutex::default(),
        }
    }

    /// Whether this GPU may be handed out here: it is ours, or there is nothing real behind it.
    pub(crate) fn has(&self, gpu: &Gpu) -> bool {
        gpu.simulated || self.held().contains_key(&gpu.id)
    }

    /// The sockets that stand for the claims once more, for the program that goes on in this very
    /// process: it gives them to [`Claims::take_over`].
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn hand_on(&self) -> io::Result<Vec<(GpuId, OwnedFd)>> {
        let held = self.held();
        let again = |(id, claim): (&GpuId, &Claim)| {
            Ok((id.clone(), claim.listener.as_fd().try_clone_to_owned()?))
        };
        held.iter().map(again).collect()
    }

    /// Goes on with a claim that the program before this one had in this very process.
    ///
    /// # Errors
    /// Where the socket is not this GPU's; it is closed then.
    pub(crate) fn take_over(&self, id: &GpuId, socket: OwnedFd) -> io::Result<()> {
        let listener = net::UnixListener::from(socket);
        let name = listener.local_addr()?;
        if name.as_abstract_name() != Some(self.name(id).as_bytes()) {
            let message = format!("the socket is no claim on the GPU {id}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.keep(id, listener)
    }

    /// Claims a GPU of a broker that may just be ending: it is tried until then.
    ///
    /// # Errors
    /// Who has it.
    pub(crate) async fn claim_by(&self, id: &GpuId, until: Instant) -> Result<(), Refused> {
        loop {
            match self.claim(id).await {
                Err(Refused::Taken(_)) if Instant::now() < until => sleep(RETRY).await,
                claimed => return claimed,
            }
        }
    }

    /// Claims a GPU.
    ///
    /// # Errors
    /// Who has it.
    pub(crate) async fn claim(&self, id: &GpuId) -> Result<(), Refused> {
        if self.held().contains_key(id) {
            return Ok(());
        }
        let name = SocketAddr::from_abstract_name(self.name(id)).map_err(Refused::Failed)?;
        match net::UnixListener::bind_addr(&name) {
            Ok(listener) => self.keep(id, listener).map_err(Refused::Failed),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(Refused::Taken(self.ask(id).await.unwrap_or_default()))
            }
            Err(error) => Err(Refused::Failed(error)),
        }
    }

    /// Who has a GPU; nothing where nobody has.
    pub(crate) async fn ask(&self, id: &GpuId) -> Option<Rival> {
        let stream = self.connect(id).ok()?;
        let mut rival = Rival::default();
        if let Ok(peer) = stream.peer_cred() {
            // A process that we cannot see has the number 0.
            rival.pid = peer.pid().filter(|pid| *pid > 0);
            rival.uid = Some(peer.uid());
        }
        let mut text = Vec::new();
        let read = stream.take(MAX_CARD);
        tokio::pin!(read);
        let read = timeout(ASK_PATIENCE, read.read_to_end(&mut text)).await;
        if let (Ok(Ok(_)), Ok(card)) = (read, serde_json::from_slice::<Card>(&text)) {
            let shown = card.data_dir.display().to_string();
            let is_plain = |character: &char| !character.is_control();
            rival.data_dir = Some(shown.chars().filter(is_plain).collect());
        }
        Some(rival)
    }

    fn connect(&self, id: &GpuId) -> io::Result<UnixStream> {
        let name = SocketAddrUnix::new_abstract_name(self.name(id).as_bytes())?;
        // One that waited for room in the other's backlog would wait for as long as that one likes.
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &name)?;
        UnixStream::from_std(net::UnixStream::from(socket))
    }

    fn keep(&self, id: &GpuId, listener: net::UnixListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let listener = Arc::new(UnixListener::from_std(listener)?);
        let (answers, card) = (Arc::clone(&listener), Arc::clone(&self.card));
        let host = tokio::spawn(async move {
            while let Ok((mut asker, _)) = answers.accept().await {
                // It fits into any socket's buffer, so nobody is waited for.
                let _ = timeout(ASK_PATIENCE, asker.write_all(&card)).await;
            }
        });
        let host = host.abort_handle();
        self.held().insert(id.clone(), Claim { listener, host });
        Ok(())
    }

    fn name(&self, id: &GpuId) -> String {
        let name = format!("warden.gpu{}/{id}", self.host);
        if name.len() <= MAX_NAME {
            return name;
        }
        format!("warden.gpu#{:016x}", sum::of([0; 2], name.as_bytes()))
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<GpuId, Claim>> {
        // Nothing panics while it holds this lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn user_name(uid: u32) -> Option<String> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> (tempfile::TempDir, GpuId) {
        (tempfile::tempdir().unwrap(), GpuId::from("GPU-1"))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_has_it_and_the_other_hears_who() {
        let (root, id) = host();
        let first = Claims::new(root.path(), Path::new("/data/of the\nfirst"));
        let second = Claims::new(root.path(), Path::new("/data/second"));
        assert_eq!(second.ask(&id).await, None);
        first.claim(&id).await.unwrap();
        first.claim(&id).await.unwrap();
        let Err(Refused::Taken(rival)) = second.claim(&id).await else {
            panic!("it is taken");
        };
        let said = rival.to_string();
        let pid = format!("pid {}", std::process::id());
        assert!(said.contains(&pid), "{said}");
        assert!(said.contains("data directory /data/of thefirst"), "{said}");
        let other = Claims::new(Path::new("/another/host"), Path::new("/data"));
        assert_eq!(other.ask(&id).await, None, "another host's");
        drop(first);
        let soon = Instant::now() + Duration::from_secs(20);
        second.claim_by(&id, soon).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_claim_is_handed_over_without_a_gap() {
        let (root, id) = host();
        let before = Claims::new(root.path(), Path::new("/data"));
        before.claim(&id).await.unwrap();
        let handed = before.hand_on().unwrap().pop();
        let (which, socket) = handed.unwrap();
        assert_eq!(which, id);
        let after = Claims::new(root.path(), Path::new("/data"));
        let another = GpuId::from("GPU-2");
        let stranger = net::UnixListener::bind(root.path().join("socket")).unwrap();
        assert!(after.take_over(&another, stranger.into()).is_err());
        after.take_over(&id, socket).unwrap();
        drop(before);
        let third = Claims::new(root.path(), Path::new("/data/third"));
        let refused = third.claim_by(&id, Instant::now() + ASK_PATIENCE).await;
        assert!(matches!(refused, Err(Refused::Taken(_))), "{refused:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_name_that_is_too_long_is_no_other_name() {
        let long = "/a/directory".repeat(20);
        let claims = Claims::new(Path::new(&long), Path::new("/data"));
        for id in ["GPU-1", "GPU-2"] {
            claims.claim(&GpuId::from(id)).await.unwrap();
        }
        assert_eq!(claims.hand_on().unwrap().len(), 2);
    }
}
