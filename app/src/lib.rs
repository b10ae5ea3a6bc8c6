//! The window's host: stable state, feed, reload and orders. What the window draws is not here but
//! in `ui_hot`, whose code is replaced while this runs.

// The one shared library; see its own documentation.
use warden_toolkit as _;

mod broker;
mod clock;
mod config;
mod cost;
mod editor;
mod failed;
mod feed;
mod host;
mod hot;
mod keep;
mod keys;
mod link;
mod modules;
mod options;
mod orders;
mod program;
mod project;
mod repaint;
mod report;
mod restart;
mod run;

pub use clock::WindowClock;
pub use config::{Config, Settings};
pub use cost::ThreadClock;
pub use feed::{Feed, Setup, Wake};
pub use host::{Host, Parts};
pub use hot::{
    Draw, DrawOwn, Drawing, Entry, Functions, Hot, MODULES, Place, Scene, Stage, Style, rehearse,
};
pub use keep::{Keeper, Kept};
pub use options::{Options, Report};
pub use project::Projection;
pub use run::run;
