//! The window's host, the program `warden-dashboard`.
fn main() {}
