//! The process that a lease lives and dies with.

use warden::Owner;
use warden::wire::LockBody;

use crate::error::Error;

/// Makes this very process the owner of what `body` asks for: the lease ends when it does.
pub fn own_by_this_process(body: &mut LockBody) {
    let Owner { pid, start } = this_process();
    (body.pid, body.pid_start) = (Some(pid), start);
}

/// This very process.
#[must_use]
pub fn this_process() -> Owner {
    Owner {
        pid: std::process::id(),
        start: own_start(),
    }
}

/// Leaves the lease to its ttl alone.
pub fn own_by_nobody(body: &mut LockBody) {
    (body.pid, body.pid_start) = (None, None);
}

/// Whether the broker refused a request because its owner means nothing there, as when one of us
/// is in a container: over TCP a pid from there names another process, or none.
#[must_use]
pub fn is_owner_unknown(error: &Error) -> bool {
    let field = error
        .refusal()
        .and_then(|refusal| refusal.problem.extra.field.as_deref());
    matches!(field, Some("pid" | "pid_start"))
}

/// This process's start time in clock ticks since boot: field 22 of its `stat`. With it a pid that
/// was given to another process meanwhile is not taken for the owner. It stays the same over an
/// `exec`.
#[must_use]
pub fn own_start() -> Option<u64> {
    let stat = std::fs::read("/proc/self/stat").ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The second field is the program's name in parentheses, and may hold blanks and more of them.
    let after_name = stat.rsplit_once(')')?.1;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found() {
        let mut body = LockBody::default();
        own_by_this_process(&mut body);
        assert_eq!(body.pid, Some(std::process::id()));
        assert!(body.pid_start.is_some_and(|start| start > 0));
    }
}
