//! The laws of the arbiter, over random histories of commands and time, and the contract's rules
//! one by one.

mod histories;
mod oracle;
mod scenarios;
mod world;
