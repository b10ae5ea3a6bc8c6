//! A development build is linked against the toolchain's `libstd`, which it finds by a path that
//! starts at its own folder. A running broker is executed from a copy in its data directory, as is
//! any other copy, so such a build is told where that library really is.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if !flags
        .split('\u{1f}')
        .any(|flag| flag.contains("prefer-dynamic"))
    {
        return;
    }
    let (Some(rustc), Ok(target)) = (env::var_os("RUSTC"), env::var("TARGET")) else {
        return;
    };
    let asked = Command::new(rustc).args(["--print", "sysroot"]).output();
    let Some(sysroot) = asked
        .ok()
        .and_then(|asked| String::from_utf8(asked.stdout).ok())
    else {
        return;
    };
    let mut folder = PathBuf::from(sysroot.trim());
    folder.extend(["lib", "rustlib", &target, "lib"]);
    println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{}", folder.display());
}
