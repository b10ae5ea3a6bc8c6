//! Shows a place of a source file in the operator's editor.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// Names the editor's program, before `VISUAL`; it must open a window of its own.
const EDITOR: &str = "WARDEN_EDITOR";

/// Opens `file` at `line` and `column`, both from 1.
pub fn open(file: &str, line: u32, column: u32) {
    let path = resolve(file);
    let mut command = command(&path, line, column);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match command.spawn() {
        // Somebody has to hear of its end, or it stays a zombie.
        Ok(mut child) => drop(thread::spawn(move || child.wait())),
        Err(error) => {
            let program = command.get_program().to_string_lossy().into_owned();
            tracing::warn!(program, %error, "the editor cannot be started; set {EDITOR}");
        }
    }
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
    let Some(editor) = named else {
        let mut command = Command::new("xdg-open");
        command.arg(path);
        return command;
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_of_the_compilers_is_found_from_the_workspace() {
        assert!(resolve("ui_hot/src/lib.rs").is_absolute());
        assert_eq!(resolve("/x/y.rs"), Path::new("/x/y.rs"));
    }
}
