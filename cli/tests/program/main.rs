//! New code without a gap: real programs, replaced under real clients.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is a test")]

mod clients;
mod daemon;
mod hangup;
mod installed;
mod lines;
mod outage;
mod owners;
mod shortage;
#[path = "../../../broker/tests/stand/space.rs"]
#[allow(dead_code, reason = "the broker's own tests need all of it")]
mod space;
#[path = "../stand/mod.rs"]
mod stand;
mod switch;
mod takeover;
mod trial;
