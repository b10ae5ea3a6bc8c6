//! Building a hot module alone, after everything was built, builds nothing else. If it did, the
//! running window would refuse the new library: it would be linked against another toolkit.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;
use warden_tests::Edit;
use warden_tests::process::{checkout, output};

#[test]
fn an_edit_of_a_hot_module_compiles_that_module_alone() -> Result<()> {
    each_compiles_alone("//! ")?;
    // Somebody works on the broker meanwhile.
    let broker = Edit::of("broker/src/lib.rs")?;
    broker.replace("//!", "//! ")?;
    each_compiles_alone("//!  ")?;
    broker.undo()
}

/// Edits the first comment of each module to begin so, and builds the module.
fn each_compiles_alone(beginning: &str) -> Result<()> {
    for module in ["ui_hot", "palette"] {
        let edit = Edit::of(&format!("{module}/src/lib.rs"))?;
        edit.replace("//!", beginning)?;
        let compiled = compiled(module)?;
        edit.undo()?;
        assert_eq!(compiled, [module]);
    }
    Ok(())
}

/// The crates that the window's own build of a hot module had to compile.
fn compiled(module: &str) -> Result<Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let messages = output(
        Command::new(cargo)
            .args([
                "rustc",
                "--package",
                module,
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
