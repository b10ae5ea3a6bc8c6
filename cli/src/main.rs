//! The program `warden`.
fn main() {}
