//! The hot code of the peer: one label, and the number that the bench edits.

/// Draws a frame, and says which edit drew it.
///
/// Into a context of its own: one of the program's, kept over a reload, holds pointers into the
/// library that hot-lib-reloader has closed by then, and ends the program by SIGSEGV.
#[unsafe(no_mangle)]
pub fn draw() -> u32 {
    let edit = 0;
    let ctx = egui::Context::default();
    let mut output = ctx.run_ui(egui::RawInput::default(), |ui| {
        ui.label(format!("edit {edit}"));
    });
    output.textures_delta.clear();
    edit
}
