//! The system packages that a fresh Debian or Ubuntu machine lacks.

use std::fmt;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

/// sysexits.h: something that is needed is not there.
pub const EX_UNAVAILABLE: u8 = 69;

/// What the window needs to open: Vulkan, in software where there is no driver, and what winit
/// loads at run time to speak X11 or Wayland.
const WINDOW: [&str; 9] = [
    "libvulkan1",
    "libwayland-client0",
    "libx11-6",
    "libx11-xcb1",
    "libxcursor1",
    "libxi6",
    "libxkbcommon-x11-0",
    "libxkbcommon0",
    "mesa-vulkan-drivers",
];

/// What tests and pictures need besides: a display that is not there, hands, eyes and a reader, and
/// a file system that another program serves.
const STAND: [&str; 6] = [
    "imagemagick",
    "openssh-sftp-server",
    "sshfs",
    "tesseract-ocr",
    "xdotool",
    "xvfb",
];

/// The servers that people lock with, to measure them beside ours. Only that needs them.
const PEERS: [&str; 3] = ["etcd-server", "postgresql", "redis-server"];

/// Packages that could not be installed, with the line that would.
#[derive(Debug)]
pub struct Missing {
    packages: Vec<&'static str>,
    why: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "system packages are missing and {}. Install them, then try again:\n\n    \
             sudo apt-get install -y --no-install-recommends {}\n\n(these are Debian's and Ubuntu's names)",
            self.why,
            self.packages.join(" ")
        )
    }
}

impl std::error::Error for Missing {}

/// Sees to it that a window can open.
///
/// # Errors
/// [`Missing`] where packages lack and cannot be installed.
pub fn ready_for_window() -> Result<()> {
    ready(WINDOW.to_vec())
}

/// Sees to it that windows can be opened, driven, pictured and read without a display.
///
/// # Errors
/// [`Missing`] where packages lack and cannot be installed.
pub fn ready_for_stand() -> Result<()> {
    ready([WINDOW.as_slice(), STAND.as_slice()].concat())
}

/// Sees to it that the servers can be started which ours is measured beside.
///
/// # Errors
/// [`Missing`] where packages lack and cannot be installed.
pub fn ready_for_peers() -> Result<()> {
    ready(PEERS.to_vec())
}

fn ready(wanted: Vec<&'static str>) -> Result<()> {
    if !has("dpkg-query") {
        return ready_elsewhere(wanted);
    }
    let lacking: Vec<_> = wanted
        .into_iter()
        .filter(|package| !is_installed(package))
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    eprintln!("xtask: installing system packages: {}", lacking.join(" "));
    let root: &[&str] = if is_root()? { &[] } else { &["sudo", "-n"] };
    // A machine's first install finds no list of packages; a later one may find an old list.
    let installed =
        (apt(root, &["update"])? && apt_install(root, &lacking)?) || apt_install(root, &lacking)?;
    if installed {
        return Ok(());
    }
    let why = if root.is_empty() {
        "apt-get failed"
    } else {
        "`sudo -n apt-get` is not allowed or failed"
    };
    Err(Missing {
        packages: lacking,
        why: why.to_owned(),
    }
    .into())
}

/// Without dpkg only what is run or loaded by name can be asked after.
fn ready_elsewhere(wanted: Vec<&'static str>) -> Result<()> {
    let tools = [
        ("etcd-server", "etcd"),
        ("imagemagick", "import"),
        ("postgresql", "pg_isready"),
        ("redis-server", "redis-server"),
        ("tesseract-ocr", "tesseract"),
        ("xdotool", "xdotool"),
        ("xvfb", "Xvfb"),
    ];
    let lacks_tool = |package: &str| {
        tools
            .iter()
            .any(|(name, tool)| *name == package && !has(tool))
    };
    let libraries = Command::new("ldconfig")
        .arg("-p")
        .output()
        .map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
        .unwrap_or_default();
    let lacks_vulkan = |package: &str| {
        package == "libvulkan1" && cfg!(target_os = "linux") && !libraries.contains("libvulkan.so")
    };
    let lacking: Vec<_> = wanted
        .into_iter()
        .filter(|package| lacks_tool(package) || lacks_vulkan(package))
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(Missing {
        packages: lacking,
        why: "this system has no apt-get".to_owned(),
    }
    .into())
}

fn is_installed(package: &str) -> bool {
    // Some names carry a suffix since Debian 13's and Ubuntu 24.04's change of time_t.
    [package.to_owned(), format!("{package}t64")]
        .iter()
        .any(|name| {
            Command::new("dpkg-query")
                .args(["--show", "--showformat=${db:Status-Status}", name])
                .stderr(Stdio::null())
                .output()
                .is_ok_and(|answer| answer.stdout == b"installed")
        })
}

fn is_root() -> Result<bool> {
    Ok(id(&["-u"])? == 0)
}

/// The user and group that a server takes which refuses to be run by root; nothing where it is not
/// root that asks.
///
/// # Errors
/// When there is no such user.
pub fn user_instead_of_root(name: &str) -> Result<Option<(u32, u32)>> {
    if !is_root()? {
        return Ok(None);
    }
    Ok(Some((id(&["-u", name])?, id(&["-g", name])?)))
}

fn id(arguments: &[&str]) -> Result<u32> {
    let output = Command::new("id").args(arguments).output();
    let id = output.context("running `id`")?.stdout;
    let id = String::from_utf8_lossy(&id).trim().parse();
    id.with_context(|| format!("`id {}` says no number", arguments.join(" ")))
}

fn apt_install(root: &[&str], packages: &[&str]) -> Result<bool> {
    apt(
        root,
        &[&["install", "-y", "--no-install-recommends"], packages].concat(),
    )
}

fn apt(root: &[&str], arguments: &[&str]) -> Result<bool> {
    let line = [root, &["apt-get", "-q"], arguments].concat();
    let status = Command::new(line[0])
        .args(&line[1..])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    Ok(status.is_ok_and(|status| status.success()))
}

/// Whether a program is in the search path.
fn has(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    })
}
