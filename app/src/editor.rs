//! Shows a place of a source file in the operator's editor.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// Names the editor's program, before `VISUAL`; it must open a window of its own.
const EDITOR: &str = "WARDEN_EDITOR";

/// Editors that open a place by a URL, where no program is named: the scheme that each registers.
const SCHEMES: [&str; 2] = ["vscode", "zed"];

/// Opens `file` at `line` and `column`, both from 1.
pub fn open(file: &str, line: u32, column: u32) {
    let path = resolve(file);
    // Asking the desktop for a handler takes a while, and somebody has to hear of the editor's end,
    // or it stays a zombie.
    thread::spawn(move || {
        let mut command = command(&path, line, column);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Err(error) = command.status() {
            let program = command.get_program().to_string_lossy().into_owned();
            tracing::warn!(program, %error, "the editor cannot be started; set {EDITOR}");
        }
    });
}

/// The compiler names files from the workspace's root.
fn resolve(file: &str) -> PathBuf {
    let path = Path::new(file);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    match root {
        Some(root) if path.is_relative() => root.join(path),
        _ => path.to_owned(),
    }
}

fn command(path: &Path, line: u32, column: u32) -> Command {
    let named = [EDITOR, "VISUAL"].into_iter().find_map(|name| {
        std::env::var(name)
            .ok()
            .filter(|editor| !editor.trim().is_empty())
    });
    match named {
        Some(editor) => by_name(&editor, path, line, column),
        None => {
            let mut command = Command::new("xdg-open");
            match SCHEMES.into_iter().find(|scheme| is_handled(scheme)) {
                Some(scheme) => command.arg(url(scheme, path, line, column)),
                None => command.arg(path),
            };
            command
        }
    }
}

fn by_name(editor: &str, path: &Path, line: u32, column: u32) -> Command {
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("xdg-open");
    let mut command = Command::new(program);
    command.args(words);
    let place = format!("{}:{line}:{column}", path.display());
    match Path::new(program)
        .file_stem()
        .and_then(|stem| stem.to_str())
    {
        Some("code" | "codium" | "cursor" | "windsurf") => command.arg("--goto").arg(place),
        Some("zed" | "zeditor" | "subl" | "hx" | "helix") => command.arg(place),
        _ => command.arg(format!("+{line}")).arg(path),
    };
    command
}

/// Whether the desktop knows a program for URLs of this scheme.
fn is_handled(scheme: &str) -> bool {
    let mut question = Command::new("xdg-mime");
    question.args(["query", "default", &format!("x-scheme-handler/{scheme}")]);
    question.stderr(Stdio::null());
    question
        .output()
        .is_ok_and(|answer| !answer.stdout.trim_ascii().is_empty())
}

/// Both editors document the same form: `SCHEME://file/PATH:LINE:COLUMN`.
fn url(scheme: &str, path: &Path, line: u32, column: u32) -> String {
    let mut url = format!("{scheme}://file");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'~' => url.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => url.push(char::from(*byte)),
            byte => url.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("{url}:{line}:{column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_editor_is_told_the_place_in_its_own_words() {
        let path = Path::new("/a b/x.rs");
        let words = |editor: &str| {
            let command = by_name(editor, path, 3, 7);
            let words = command.get_args().map(|word| word.to_string_lossy());
            words.collect::<Vec<_>>().join("|")
        };
        assert_eq!(words("code -r"), "-r|--goto|/a b/x.rs:3:7");
        assert_eq!(words("/usr/bin/zed"), "/a b/x.rs:3:7");
        assert_eq!(words("gvim"), "+3|/a b/x.rs");
        assert_eq!(url("zed", path, 3, 7), "zed://file/a%20b/x.rs:3:7");
    }

    #[test]
    fn a_place_of_the_compilers_is_found_from_the_workspace() {
        assert!(resolve("ui_hot/src/lib.rs").is_absolute());
        assert_eq!(resolve("/x/y.rs"), Path::new("/x/y.rs"));
    }
}
