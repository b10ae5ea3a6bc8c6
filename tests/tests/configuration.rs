//! `docs/configuration.md`, beside the types that configuration is read into. `cargo xtask docs`
//! writes the page anew.

#[path = "configuration/page.rs"]
mod page;
/// The window's own keys, from their source: who links the window links its toolkit.
#[allow(dead_code, unused_imports, reason = "only the keys are looked at")]
#[path = "../../app/src/config/settings.rs"]
mod settings;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use warden::Policy;
use warden_reload::keys::{Kind, edited, keys_of};
use warden_tests::process::checkout;

fn path() -> PathBuf {
    checkout().join("docs/configuration.md")
}

#[test]
fn the_page_is_what_the_types_say() -> Result<()> {
    let committed = std::fs::read_to_string(path()).context("run `cargo xtask docs`")?;
    let meant = page::page();
    for (number, (is, should_be)) in committed.lines().zip(meant.lines()).enumerate() {
        let line = number + 1;
        assert_eq!(
            is, should_be,
            "docs/configuration.md:{line}: run `cargo xtask docs`"
        );
    }
    assert_eq!(
        committed, meant,
        "docs/configuration.md: run `cargo xtask docs`"
    );
    Ok(())
}

#[test]
#[ignore = "writes the page; run by `cargo xtask docs`"]
fn write_the_page() -> Result<()> {
    Ok(std::fs::write(path(), page::page())?)
}

#[test]
fn every_key_says_what_it_means() {
    let keys = page::sections()
        .into_iter()
        .flat_map(|section| section.keys);
    for key in keys {
        assert!(!key.meaning.is_empty(), "{} has no comment", key.name);
        if let Kind::Choice(choices) = &key.kind {
            let words: Vec<_> = choices
                .iter()
                .filter(|one| one.meaning.is_empty())
                .collect();
            assert!(words.is_empty(), "{}: no comment on {words:?}", key.name);
        }
    }
}

/// The ranges that a page and a panel show are those that a policy is held to.
#[test]
fn a_policy_is_held_to_the_ranges_of_its_keys() {
    let policy = Policy::default();
    for key in keys_of::<Policy>() {
        if !matches!(key.kind, Kind::Whole) || key.name.contains('*') {
            continue;
        }
        let bounds = [(key.range.min, -1.0), (key.range.max, 1.0)];
        for (bound, outward) in bounds {
            let Some(bound) = bound else { continue };
            let at = |number: f64| edited(&policy, &key.name, &number.to_string());
            let inside = at(bound).unwrap_or_else(|error| panic!("{error}"));
            let errors = inside.validate().err().unwrap_or_default();
            // One bound may depend on another key: `default_ttl_ms` on `max_ttl_ms`.
            let own = errors.iter().find(|error| error.key == key.name);
            assert!(own.is_none(), "{own:?}");
            assert!(at(bound + outward).is_err(), "{} beyond {bound}", key.name);
        }
    }
}
