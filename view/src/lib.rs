//! What crosses between the window's host and its hot code: the picture to draw, the theme, what
//! the window remembers, and what the operator asks for.
//!
//! Plain data and nothing else: no clock, no statics that change, no other crate of ours. Host and
//! hot code are linked apart and talk through these types alone, so a change in this crate makes a
//! running host refuse new render code, and [`SCHEMA`] is how it notices.
//!
//! All instants are milliseconds since the Unix epoch on the window's own clock, so that drawing
//! can count durations up and down from [`Clock::now_ms`] without a new projection.

mod action;
mod broker;
mod colour;
pub mod fonts;
mod layout;
mod memory;
mod picture;
mod queue;
mod reload;
mod settings;
mod theme;
mod timeline;

pub use action::{Action, ActionRun, Phase, Target};
pub use broker::{Broker, Link, LinkState};
pub use colour::Rgba;
pub use fonts::Face;
pub use layout::{Layout, Node, NodeKind, Panel};
pub use memory::{
    Column, Dialog, Draft, OpenDiagnostic, OpenModule, ReloadFolds, Selection, Sort, UiMemory,
};
pub use picture::{Clock, Picture, Rules, Summary, Text, ThemeName, Window};
pub use queue::{Draining, Gpu, GpuState, Holder, Waiter, Why, WhyCode};
pub use reload::{
    Change, Diagnostic, Difference, Failure, Fate, GenerationRow, GenerationState, Level,
    Migration, Mismatch, Module, ModuleKind, ModuleState, Probation, Progress, Reload, Restart,
    Stage, Timing, Watch,
};
pub use settings::{Checked, Form, Setting, Settings, SettingsFile, Verdict};
pub use theme::{Colours, Fonts, Ornament, SHIPPED, Shape, Sizes, Spacing, Theme, ThemeError};
pub use timeline::{Bar, DepthStep, EventRow, Timeline, Tone};

/// The source of every type that crosses, in a fixed order: what a manifest hashes and compares,
/// so that a difference can be shown as a line of text.
pub const SCHEMA: &str = concat!(
    include_str!("action.rs"),
    include_str!("broker.rs"),
    include_str!("colour.rs"),
    include_str!("fonts.rs"),
    include_str!("layout.rs"),
    include_str!("memory.rs"),
    include_str!("picture.rs"),
    include_str!("queue.rs"),
    include_str!("reload.rs"),
    include_str!("settings.rs"),
    include_str!("theme.rs"),
    include_str!("timeline.rs"),
);
