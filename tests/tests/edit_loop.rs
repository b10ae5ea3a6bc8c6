//! Building the hot library alone, after everything was built, builds nothing else. If it did, the
//! running window would refuse the new library: it would be linked against another toolkit.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;
use warden_tests::Edit;
use warden_tests::process::{checkout, output};

#[test]
fn an_edit_of_the_hot_code_compiles_the_hot_code_alone() -> Result<()> {
    let edit = Edit::of("ui_hot/src/lib.rs")?;
    edit.replace("//!", "//! ")?;
    let compiled = compiled()?;
    edit.undo()?;
    assert_eq!(compiled, ["ui_hot"]);
    Ok(())
}

/// The crates that the window's own build of the hot library had to compile.
fn compiled() -> Result<Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let messages = output(
        Command::new(cargo)
            .args([
                "rustc",
                "--package",
                "ui_hot",
                "--lib",
                "--crate-type=cdylib",
                "--frozen",
                "--message-format=json",
            ])
            .current_dir(checkout()),
    )?;
    let mut compiled = Vec::new();
    for line in String::from_utf8(messages)?.lines() {
        let message: Value = serde_json::from_str(line)?;
        if message["reason"] == "compiler-artifact" && message["fresh"] == false {
            let target = message["target"]["name"]
                .as_str()
                .context("a target without a name")?;
            compiled.push(target.to_owned());
        }
    }
    Ok(compiled)
}
