//! What went wrong, as a person at a command line is told it: with the names that are typed there, and
//! with what to do next.

use warden::Code;
use warden_client::Error;

/// The fields of a request that `warden run` sends, and what is typed for them.
const FLAGS: [(&str, &str); 9] = [
    ("client", "--name"),
    ("priority", "--priority"),
    ("operation", "--operation"),
    ("gpus", "--gpus"),
    ("gpu_ids", "--gpu-ids"),
    ("vram_mib", "--vram"),
    ("timeout_ms", "--timeout"),
    ("ttl_ms", "--ttl"),
    ("request_id", "--request-id"),
];

/// The whole sentence.
pub fn explained(error: &Error) -> String {
    let Error::Problem(refusal) = error else {
        return match error {
            Error::Unreachable { reason, .. } if !reason.contains("warden serve") => {
                format!("{error}; `warden serve` starts one")
            }
            other => other.to_string(),
        };
    };
    let (code, detail) = (refusal.problem.code, &refusal.problem.detail);
    match code {
        Code::UnknownLease | Code::UnknownRequest => {
            format!("{error}; `warden status` shows those that there are")
        }
        Code::InvalidRequest | Code::ImpossibleRequest => {
            format!("{} ({code})", in_flags(detail))
        }
        _ => error.to_string(),
    }
}

/// The same with flags where fields of a request are named: first, or between backticks.
fn in_flags(detail: &str) -> String {
    let mut told = detail.to_owned();
    for (field, flag) in FLAGS {
        if let Some(rest) = told.strip_prefix(&format!("{field}: ")) {
            told = format!("{flag}: {rest}");
        }
        told = told.replace(&format!("`{field}`"), &format!("`{flag}`"));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_by_the_flags_that_stand_for_them() {
        for (detail, told) in [
            ("vram_mib: must be 1 or more", "--vram: must be 1 or more"),
            (
                "gpus: must agree with `gpu_ids`, which names 2",
                "--gpus: must agree with `--gpu-ids`, which names 2",
            ),
            ("module: there is no such", "module: there is no such"),
        ] {
            assert_eq!(in_flags(detail), told);
        }
    }
}
