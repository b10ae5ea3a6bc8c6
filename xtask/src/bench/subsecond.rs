//! The same edit in a program that subsecond patches, as its makers show it: what a reload costs where
//! functions are replaced in place, without checks, and without a window.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use warden_tests::process::{Process, checkout, output};

use super::plain;
use super::table::{Figure, amount, median};

const EDITS: u32 = 20;
/// Its first build links everything that the program stands on.
const PATIENCE: Duration = Duration::from_secs(600);
const FILES: [&str; 3] = ["Cargo.lock", "Cargo.toml", "src/main.rs"];
const LABEL: &str = "  subsecond, one label, no window: edit → drawn, median";

/// One figure; without its tool, what would bring that.
pub fn measure() -> Result<Vec<Figure>> {
    let Some(tool) = find_tool() else {
        let what = "no `dx`: cargo install dioxus-cli@0.7.3 --locked --features no-downloads";
        return Ok(vec![Figure::plain(LABEL, what)]);
    };
    let directory = checkout().join("target-bench/subsecond");
    plain::copy(
        &checkout().join("xtask/peers/subsecond"),
        &directory,
        &FILES,
    )?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let _serving = serve(&tool, &directory, &listener)?;
    let drawn = plain::lines(accept(&listener)?);
    plain::next(&drawn)?;
    let source = directory.join("src/main.rs");
    let text = fs::read_to_string(&source)?;
    let mut wholes = Vec::new();
    for edit in 1..=EDITS {
        let edited = text.replace("let edit = 0;", &format!("let edit = {edit};"));
        fs::write(&source, edited)?;
        let saved = Instant::now();
        while plain::next(&drawn)? != edit.to_string() {}
        wholes.push(saved.elapsed().as_secs_f64());
    }
    Ok(vec![Figure::plain(LABEL, amount(median(&wholes), "s"))])
}

fn find_tool() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("dx"))
        .find(|tool| tool.is_file())
}

fn serve(tool: &Path, directory: &Path, listener: &TcpListener) -> Result<Process> {
    // A port that was free a moment ago: the tool takes no 0.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let sysroot = String::from_utf8(output(Command::new("rustc").args(["--print", "sysroot"]))?)?;
    // Its patches are linked by the linker that comes with the compiler, which it looks for by name.
    let linker = Path::new(sysroot.trim()).join("lib/rustlib/x86_64-unknown-linux-gnu/bin/gcc-ld");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(linker).chain(std::env::split_paths(&path));
    let log = fs::File::create(directory.join("dx.log"))?;
    Process::start(
        Command::new(tool)
            .args(["serve", "--desktop", "--hot-patch"])
            .args(["--interactive", "false", "--open", "false"])
            .args(["--addr", "127.0.0.1", "--port"])
            .arg(port.port().to_string())
            .current_dir(directory)
            .env("BENCH", listener.local_addr()?.to_string())
            .env("CARGO_TARGET_DIR", directory.join("target"))
            .env("DX_HOME", directory.join("home"))
            .env("DX_TELEMETRY_ENABLED", "false")
            .env("NO_DOWNLOADS", "1")
            .env("PATH", std::env::join_paths(folders)?)
            .env("RUSTFLAGS", "")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log),
    )
}

/// The program's own connection, once it is built and runs.
fn accept(listener: &TcpListener) -> Result<std::net::TcpStream> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let listener = listener.try_clone()?;
    std::thread::spawn(move || sender.send(listener.accept()));
    let (stream, _) = receiver
        .recv_timeout(PATIENCE)
        .context("the program did not start; target-bench/subsecond/dx.log may say why")??;
    Ok(stream)
}
