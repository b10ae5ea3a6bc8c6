//! `cargo xtask shots`: the pictures of the README.

use anyhow::Result;
use warden_tests::process::checkout;

use crate::demo::Demo;
use crate::run::Shot;
use crate::{build, system};

/// Theme and size of each picture in `assets/pictures`.
const SHOTS: [(&str, (u32, u32)); 2] = [("nerv", (1280, 800)), ("light", (1280, 800))];

pub fn run() -> Result<()> {
    system::ready_for_stand()?;
    build::programs()?;
    let folder = checkout().join("assets/pictures");
    std::fs::create_dir_all(&folder)?;
    let demo = Demo::start()?;
    for (theme, size) in SHOTS {
        let mut shot = Shot::new(size);
        shot.theme = Some(theme.to_owned());
        let file = folder.join(format!("{theme}.png"));
        shot.of_demo(&demo)?.save(&file)?;
        println!("{}", file.display());
    }
    Ok(())
}
