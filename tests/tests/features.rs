//! A hot library is built alone, its host with the whole workspace. Where the two ask for other
//! features of a crate that both link, cargo builds that crate anew at a reload, and the toolkit with
//! it, which a running host cannot take. What does this silently is a dependency of some other
//! member, one of its tests' too: the missing feature then belongs into `toolkit/Cargo.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use warden_tests::process::{checkout, output};

/// What a build has of each package: one set of features for each time that it is built.
fn resolved(selection: &[&str], edges: &str) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = Command::new(cargo);
    tree.args([
        "tree",
        "--locked",
        "--offline",
        "--prefix=none",
        "--format={p} [{f}]",
    ])
    .args(["--edges", edges])
    .args(selection)
    .current_dir(checkout());
    let text = String::from_utf8(output(&mut tree)?)?;
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let line = line.trim_end_matches(" (*)");
        let (package, features) = line
            .strip_suffix(']')
            .and_then(|line| line.rsplit_once(" ["))
            .with_context(|| format!("cargo tree printed {line:?}"))?;
        let package = packages.entry(package.to_owned()).or_default();
        package.insert(features.to_owned());
    }
    Ok(packages)
}

#[test]
fn hot_libraries_ask_for_what_the_whole_workspace_asks_for() -> Result<()> {
    let all = resolved(&["--workspace", "--exclude=xtask"], "normal,build,dev")?;
    for module in ["ui_hot", "palette"] {
        let alone = resolved(&["--package", module], "normal,build")?;
        let links = |name: &str| alone.keys().any(|package| package.starts_with(name));
        ensure!(links("egui v") && links("tokio v"), "{module}: {alone:?}");
        let mut others = alone
            .iter()
            .filter(|(package, features)| all.get(*package) != Some(features));
        let other = others.next().map(|(package, features)| {
            format!(
                "{package} is built with {features:?} for {module} alone, and with {:?} for the whole \
                 workspace: ask for the same in toolkit/Cargo.toml",
                all.get(package)
            )
        });
        ensure!(other.is_none(), "{}", other.unwrap_or_default());
    }
    Ok(())
}
