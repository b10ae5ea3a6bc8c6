//! `cargo xtask docs`: writes the pages that are made of types. A test of the same program holds the
//! committed pages to them.

use anyhow::Result;

use crate::build;

pub fn run() -> Result<()> {
    let mut test = build::cargo("test")?;
    test.args(["--quiet", "--test", "configuration"]).args([
        "--",
        "--exact",
        "write_the_page",
        "--ignored",
    ]);
    build::expect_success(&mut test)
}
