//! Draws frames without a display, and says on a line of its own whenever other code drew one.

use std::io::Write as _;
use std::time::Duration;

/// A tenth of the watcher's default wait, as the product had it measured.
#[hot_lib_reloader::hot_module(dylib = "ui", file_watch_debounce = 50)]
mod hot {
    hot_functions_from_file!("ui/src/lib.rs");
}

fn main() {
    let mut last = None;
    loop {
        let edit = hot::draw();
        if last.replace(edit) != Some(edit) {
            println!("{edit}");
            // Whoever listens may be gone: then so are we.
            if std::io::stdout().flush().is_err() {
                return;
            }
        }
        // The pace of its frames: there is no display to wait for.
        std::thread::sleep(Duration::from_millis(1));
    }
}
