//! Draws frames without a display, and tells the bench, a line each, whenever other code drew one.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Draws a frame, and says which edit drew it.
fn draw() -> u32 {
    let edit = 0;
    let ctx = egui::Context::default();
    let mut output = ctx.run_ui(egui::RawInput::default(), |ui| {
        ui.label(format!("edit {edit}"));
    });
    output.textures_delta.clear();
    edit
}

fn main() -> io::Result<()> {
    let bench = std::env::var("BENCH").map_err(io::Error::other)?;
    let mut told = TcpStream::connect(bench)?;
    let mut end = told.try_clone()?;
    // The tool that started this may be killed, and would leave it behind.
    std::thread::spawn(move || {
        let _ = end.read(&mut [0]);
        std::process::exit(0);
    });
    dioxus_devtools::connect_subsecond();
    let mut last = None;
    loop {
        let edit = subsecond::call(draw);
        if last.replace(edit) != Some(edit) {
            writeln!(told, "{edit}")?;
        }
        // The pace of its frames: there is no display to wait for.
        std::thread::sleep(Duration::from_millis(1));
    }
}
