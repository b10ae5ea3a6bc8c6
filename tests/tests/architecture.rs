//! ARCHITECTURE.md, RELIABILITY.md and docs/reference.md, beside what git, the manifests and the
//! sources really say.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use warden_tests::process::{checkout, output, program};

/// The lines of the fenced block of ARCHITECTURE.md that starts with this info string.
fn block(name: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(checkout().join("ARCHITECTURE.md"))?;
    let start = format!("```text {name}");
    let lines = text
        .lines()
        .skip_while(|line| *line != start)
        .skip(1)
        .take_while(|line| *line != "```")
        .map(str::to_owned)
        .collect::<Vec<_>>();
    ensure!(!lines.is_empty(), "ARCHITECTURE.md has no block {start:?}");
    Ok(lines)
}

fn metadata() -> Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let text = output(
        Command::new(cargo)
            .args([
                "metadata",
                "--format-version=1",
                "--no-deps",
                "--offline",
                "--locked",
            ])
            .current_dir(checkout()),
    )?;
    serde_json::from_slice(&text).context("reading cargo metadata")
}

/// Every member's folder, as the house calls it (`warden` for the root), by package name.
fn members(metadata: &Value) -> Result<BTreeMap<String, String>> {
    let root = metadata["workspace_root"]
        .as_str()
        .context("workspace_root")?;
    let mut members = BTreeMap::new();
    for package in metadata["packages"].as_array().context("packages")? {
        let manifest = package["manifest_path"].as_str().context("manifest_path")?;
        let folder = manifest
            .strip_prefix(root)
            .and_then(|rest| rest.strip_suffix("Cargo.toml"))
            .context("a member outside the workspace")?
            .trim_matches('/');
        let folder = if folder.is_empty() { "warden" } else { folder };
        let name = package["name"].as_str().context("name")?;
        members.insert(name.to_owned(), folder.to_owned());
    }
    Ok(members)
}

#[test]
fn the_map_names_every_top_level_entry_and_no_other() -> Result<()> {
    let tracked = output(
        Command::new("git")
            .args(["ls-files"])
            .current_dir(checkout()),
    )?;
    let tracked = String::from_utf8(tracked)?;
    let real: BTreeSet<_> = tracked
        .lines()
        .filter_map(|path| path.split_once('/').map(|(folder, _)| folder.to_owned()))
        .collect();
    let mapped: BTreeSet<_> = block("map")?
        .iter()
        .filter_map(|line| {
            line.split_once('/')
                .map(|(folder, _)| folder.trim().to_owned())
        })
        .collect();
    assert_eq!(mapped, real);
    Ok(())
}

#[test]
fn the_arrows_are_those_of_the_manifests() -> Result<()> {
    let metadata = metadata()?;
    let members = members(&metadata)?;
    let mut real = BTreeMap::new();
    for package in metadata["packages"].as_array().context("packages")? {
        let from = &members[package["name"].as_str().context("name")?];
        let to: BTreeSet<_> = package["dependencies"]
            .as_array()
            .context("dependencies")?
            .iter()
            .filter(|dependency| dependency["kind"].is_null() && dependency["optional"] == false)
            .filter_map(|dependency| members.get(dependency["name"].as_str()?).cloned())
            .collect();
        if !to.is_empty() {
            real.insert(from.clone(), to);
        }
    }
    let mut drawn = BTreeMap::new();
    for line in block("arrows")? {
        let (from, to) = line
            .split_once('→')
            .with_context(|| format!("no arrow in {line:?}"))?;
        let to = to.split(',').map(|name| name.trim().to_owned()).collect();
        drawn.insert(from.trim().to_owned(), to);
    }
    assert_eq!(drawn, real);
    Ok(())
}

#[test]
#[cfg(target_os = "linux")]
fn the_program_links_no_window() -> Result<()> {
    let warden = program("warden")?;
    let libraries = output(Command::new("ldd").arg(warden.get_program()))?;
    let libraries = String::from_utf8_lossy(&libraries).into_owned();
    assert!(libraries.contains("libc.so"), "ldd printed {libraries}");
    for foreign in ["toolkit", "egui", "wgpu", "vulkan", "libX11"] {
        assert!(
            !libraries.contains(foreign),
            "warden links {foreign}:\n{libraries}"
        );
    }
    Ok(())
}

#[test]
fn every_test_that_a_promise_names_exists() -> Result<()> {
    let page = std::fs::read_to_string(checkout().join("RELIABILITY.md"))?;
    let named = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|word| word.split_once(".rs::"));
    let mut count = 0;
    for (file, test) in named {
        let file = format!("{file}.rs");
        let source = std::fs::read_to_string(checkout().join(&file)).context(file.clone())?;
        let is_there = source.contains(&format!("fn {test}("));
        ensure!(
            is_there,
            "{file} has no test {test}, which RELIABILITY.md names"
        );
        count += 1;
    }
    ensure!(count > 40, "RELIABILITY.md names only {count} tests");
    Ok(())
}

#[test]
fn every_code_is_in_the_reference() -> Result<()> {
    let page = std::fs::read_to_string(checkout().join("docs/reference.md"))?;
    for code in warden::Code::ALL {
        let (status, name) = (
            format!("| {} |", code.status()),
            format!("`{}`", code.as_str()),
        );
        let is_there = |line: &str| line.starts_with(&status) && line.contains(&name);
        ensure!(
            page.lines().any(is_there),
            "docs/reference.md lacks {name}, {status}"
        );
    }
    Ok(())
}
