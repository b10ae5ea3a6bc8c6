//! The one shared library that host and hot code both link.
//!
//! egui keeps global state, and so do `tokio`, `log` and `parking_lot`: linked into both sides it
//! would be there twice, and a panic of hot code could not cross into the host. So whatever both
//! sides use is linked here, once, as a dylib, and both name this crate. With empty rustflags the
//! same tree links statically, for distribution without reload.
//!
//! No code of ours lives here: this library changes only when the lock file does.

pub use {
    eframe, egui, egui_extras, egui_kittest, egui_tiles, hot_lib_reloader, log, ron, serde,
    serde_json, tokio, tracing, wgpu,
};
