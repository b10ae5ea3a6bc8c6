//! What an owner leaves: its orphans, which are ended, and all that it started, which is waited for.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustix::process::Signal;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use warden::Owner;

use super::LOOK_EVERY;
use super::lookout::Lookout;
use crate::readiness;
use crate::tree::{Census, Held, Member};

/// How long orphans may take to die. One that cannot, since a driver holds it, is left.
const PATIENCE: Duration = Duration::from_secs(5);
/// So often at most it is looked for orphans that were started before all stood still.
const STOPS: usize = 4;
/// So many processes of one owner are watched at once; the end of any of them is reason enough to
/// look at all.
const WATCHED: usize = 256;
/// Nobody tells when a process starts another, so all are looked at again so often: whoever was
/// started longer ago is known when its parent ends.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// But looking takes at most this part of the time, and an end that leaves others alive is no
/// reason to look sooner.
const PART: u32 = 10;

/// Processes, by number and start time.
pub(super) type Known = HashSet<(u32, u64)>;

/// Ends what carries the mark of an owner that is gone, and what that has started. Returns when it
/// is gone too, or has had its time; then whatever is left, or may not be ended by us: nothing where
/// all is gone, and nobody that is known by a number where what there is escapes from look to look.
pub(super) async fn end_orphans(owner: Owner, lookout: &Lookout) -> Option<Known> {
    let mut left = Known::new();
    owner.mark()?;
    let all = async {
        // Until a look finds nobody: whoever is to be ended may just have started another.
        while end_those(owner, lookout, &mut left).await {}
    };
    let is_over = timeout(PATIENCE, all).await.is_ok();
    if is_over && left.is_empty() {
        return None;
    }
    tracing::warn!(
        owner = owner.pid,
        left = left.len(),
        "what a killed `warden run` left behind could not be ended; the GPUs that it had drain"
    );
    Some(left)
}

/// Ends those that a look finds and waits for their end; says whether to look again, since there were
/// any but those that are left already, or may have been. Whoever does not end is left.
async fn end_those(owner: Owner, lookout: &Lookout, left: &mut Known) -> bool {
    let mut stopped = Vec::new();
    let mut saw_all = false;
    // All stand still before the first is ended: a child whose parent has ended is anybody's, and
    // its environment need not be the one that it was given.
    for _ in 0..STOPS {
        let census = lookout.look(owner.start).await;
        let mut new = orphans(&census, owner);
        new.retain(|orphan| left.insert((orphan.pid, orphan.start)));
        saw_all = census.is_whole();
        if new.is_empty() && saw_all {
            break;
        }
        let stop_all = move || new.into_iter().map(stop).collect::<Vec<_>>();
        stopped.extend(spawn_blocking(stop_all).await.unwrap_or_default());
    }
    let look_again = !stopped.is_empty() || !saw_all;
    let mut ends: FuturesUnordered<_> = stopped
        .into_iter()
        .filter_map(|(orphan, held)| {
            let held = kill(owner, &orphan, held).ok()?;
            Some(async move {
                if held.is_some() {
                    ended(held).await;
                }
                (orphan.pid, orphan.start)
            })
        })
        .collect();
    while let Some(orphan) = ends.next().await {
        left.remove(&orphan);
    }
    look_again
}

/// Those that carry an owner's mark and all that descend from them, whatever it carries; but for
/// those of another owner, whose end is for that one's broker to see to.
fn orphans(census: &Census, owner: Owner) -> Vec<Member> {
    let is_anothers =
        |member: &Member| is_never_ended(member) || member.mark.is_some_and(|mark| mark != owner);
    let orphans = census.with_descendants(census.marked(owner), is_anothers);
    orphans.into_iter().cloned().collect()
}

/// Takes hold of one, where it lives still, and stops it.
fn stop(orphan: Member) -> (Member, io::Result<Option<Held>>) {
    let held = Held::of(&orphan);
    if let Ok(Some(held)) = &held
        && let Err(error) = held.signal(Signal::STOP)
    {
        tracing::debug!(%error, pid = orphan.pid, "an orphan cannot be stopped");
    }
    (orphan, held)
}

/// Ends one that was taken hold of.
///
/// # Errors
/// Where it lives and the kernel does not let us.
fn kill(owner: Owner, orphan: &Member, held: io::Result<Option<Held>>) -> io::Result<Option<Held>> {
    let Member { pid, name, .. } = orphan;
    let held =
        held.inspect_err(|error| tracing::warn!(%error, pid, "an orphan cannot be taken hold of"))?;
    if let Some(held) = &held {
        held.signal(Signal::KILL)
            .inspect_err(|error| tracing::warn!(%error, pid, name, "an orphan cannot be ended"))?;
        tracing::info!(
            pid,
            name,
            owner = owner.pid,
            "killed what a dead `warden run` had left on the GPU"
        );
    }
    Ok(held)
}

/// Whatever it carries and whoever started it.
fn is_never_ended(member: &Member) -> bool {
    member.pid == 1 || member.pid == std::process::id()
}

/// Returns when an owner and everything that it is known to have started is gone; some of it may be
/// known before. Its orphans are ended once it is gone itself.
pub(super) async fn all_gone(owner: Owner, mut known: Known, lookout: &Lookout) {
    let mut orphans_were_ended = false;
    loop {
        let began = Instant::now();
        let census = lookout.look(owner.start).await;
        let pause = began.elapsed() * PART;
        let family = family(&census, owner, &known);
        let owner_lives = family.first().is_some_and(|member| member.is(owner));
        if !owner_lives && !std::mem::replace(&mut orphans_were_ended, true) {
            known.extend(end_orphans(owner, lookout).await.unwrap_or_default());
            continue;
        }
        if family.is_empty() && census.is_whole() {
            return;
        }
        // One whose parent ends is its child no more; it was, once seen.
        known = family
            .iter()
            .map(|member| (member.pid, member.start))
            .collect();
        any_ended(family, pause).await;
    }
}

/// The owner first, where it lives.
fn family(census: &Census, owner: Owner, known: &Known) -> Vec<Member> {
    let itself = census.get(owner.pid).filter(|member| member.is(owner));
    let known = known.iter().filter_map(|(pid, start)| {
        let member = census.get(*pid)?;
        (member.start == *start).then_some(member)
    });
    let roots = itself.into_iter().chain(known).chain(census.marked(owner));
    let family =
        census.with_descendants(roots, |member| is_never_ended(member) && !member.is(owner));
    let mut family: Vec<Member> = family.into_iter().cloned().collect();
    family.sort_by_key(|member| !member.is(owner));
    family
}

/// Returns when all of these have ended, or one has and this pause is over, or all are to be looked
/// at again.
async fn any_ended(mut family: Vec<Member>, pause: Duration) {
    let (not_before, again) = (
        Instant::now() + pause,
        Instant::now() + pause.max(LOOK_AGAIN),
    );
    let all_are_watched = family.len() <= WATCHED;
    family.truncate(WATCHED);
    let held = spawn_blocking(move || family.iter().map(Held::of).collect::<Vec<_>>()).await;
    let mut ends = FuturesUnordered::new();
    let mut one_has_ended = false;
    for one in held.unwrap_or_default() {
        match one {
            Ok(Some(held)) => ends.push(ended(Some(held))),
            Ok(None) => one_has_ended = true,
            // It is looked for again before long.
            Err(_) => ends.push(ended(None)),
        }
    }
    if !one_has_ended {
        let _ = timeout_at(again, ends.next()).await;
    }
    let rest = async {
        while ends.next().await.is_some() {}
        if !all_are_watched {
            std::future::pending::<()>().await;
        }
    };
    let _ = timeout_at(not_before, rest).await;
}

/// Returns when a process ends; where none could be taken hold of, when it should be looked for again.
async fn ended(held: Option<Held>) {
    let watched = held.map(|held| readiness::of(held.into_fd()));
    let readable = match &watched {
        Some(Ok(pidfd)) => pidfd.readable().await.map(drop),
        Some(Err(_)) | None => Err(io::ErrorKind::Unsupported.into()),
    };
    if readable.is_err() {
        sleep(LOOK_EVERY).await;
    }
}
