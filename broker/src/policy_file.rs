//! `policy.ron`: the rules as the operator wrote them.

use std::fs;
use std::io;
use std::path::Path;

use warden::Policy;

/// The file in the configuration directory.
const FILE: &str = "policy.ron";

/// Reads the policy; without a file, nothing.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn read(config_dir: &Path) -> Result<Option<Policy>, String> {
    let path = config_dir.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let policy: Policy = ron::from_str(&text).map_err(|error| {
        let at = error.span.start;
        format!("{}:{}:{}: {}", path.display(), at.line, at.col, error.code)
    })?;
    policy.validate().map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        format!("{}: {}", path.display(), errors.join("; "))
    })?;
    Ok(Some(policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_policy_says_where() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), Ok(None));
        let write = |text: &str| fs::write(dir.path().join(FILE), text).unwrap();

        write("(max_bypass: 3, r#yield: (mode: never))");
        let policy = read(dir.path()).unwrap().unwrap();
        assert_eq!(policy.max_bypass, 3);
        assert_eq!(policy.default_ttl_ms, 60_000);

        write("(\n  max_bypass: 3,\n  max_bypas: 4,\n)");
        let error = read(dir.path()).unwrap_err();
        assert!(error.contains("policy.ron:3:"), "{error}");

        write("(max_bypass: 0)");
        let error = read(dir.path()).unwrap_err();
        assert!(error.contains("max_bypass"), "{error}");
    }
}
