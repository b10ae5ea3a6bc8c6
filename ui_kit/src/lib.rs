//! What every hot module draws with: the theme's tokens as inks, text that ends in an ellipsis,
//! buttons and fields, figures as people read them, and the scene that a frame hands around.
//!
//! A plain library that is linked into each of them, like the `view`. It holds what several need
//! and what changes seldom, so that an edit of a panel compiles that panel's library alone. It
//! draws nothing by itself, and keeps nothing.

use warden_toolkit as _;

pub mod choice;
pub mod control;
pub mod ink;
pub mod keys;
pub mod paint;
pub mod scene;
pub mod style;
pub mod wish;
pub mod words;
