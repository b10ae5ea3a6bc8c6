//! The laws of the arbiter, over random histories of commands and time, and the contract's rules
//! one by one.

#![allow(
    clippy::expect_used,
    reason = "what a test expects and does not get fails the test"
)]

mod histories;
mod oracle;
mod scenarios;
mod world;
