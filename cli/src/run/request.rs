//! What `warden run` asks the broker for, and in whose name.

use std::ffi::OsStr;
use std::path::Path;

use warden::request::is_unprintable;
use warden::wire::LockBody;
use warden_client::owner::own_by_this_process;

use crate::args::RunArgs;
use crate::quantity::millis;

/// The longest client name that the API takes, in characters.
const MAX_NAME: usize = 128;

/// The lock request for these arguments, owned by this very process.
pub fn lock_body(args: &RunArgs, program: &OsStr) -> LockBody {
    let mut body = LockBody {
        client: args.name.clone().unwrap_or_else(|| name_of(program)),
        priority: args.priority.clone(),
        operation: args.operation.clone(),
        gpus: args.gpus,
        gpu_ids: (!args.gpu_ids.is_empty()).then(|| args.gpu_ids.clone()),
        vram_mib: args.vram,
        timeout_ms: args.timeout.map(millis),
        ttl_ms: args.ttl.map(millis),
        request_id: args.request_id.clone(),
        ..LockBody::default()
    };
    own_by_this_process(&mut body);
    body
}

/// The command's last path component, as far as the API takes it.
fn name_of(program: &OsStr) -> String {
    let base = Path::new(program).file_name().unwrap_or(program);
    let name: String = base
        .to_string_lossy()
        .chars()
        .map(|c| if is_unprintable(c) { '?' } else { c })
        .take(MAX_NAME)
        .collect();
    match name.is_empty() {
        true => "command".to_owned(),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_base_name_within_what_the_api_takes() {
        assert_eq!(name_of(OsStr::new("/usr/bin/python3")), "python3");
        assert_eq!(name_of(OsStr::new("a\tb")), "a?b");
        assert_eq!(name_of(OsStr::new(&"ü".repeat(200))).chars().count(), 128);
        assert_eq!(name_of(OsStr::new("")), "command");
    }
}
