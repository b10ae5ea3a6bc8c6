//! Remembers which compiler builds this tree: a macro has no other way to know.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc)
        .arg("-V")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .unwrap_or_default();
    println!("cargo::rustc-env=WARDEN_RUSTC={}", version.trim());
    println!(
        "cargo::rustc-env=WARDEN_HOST={}",
        env::var("HOST").unwrap_or_default()
    );
}
