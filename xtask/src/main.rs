//! Run, test, bench and picture Warden.
fn main() {}
