//! Without the system's help.

use std::fs::{self, File};
use std::io::Write as _;
use std::thread;
use std::time::Duration;

use warden_reload::files::{Files, Watching};

use crate::{Followed, folder, save};

#[test]
fn saves_are_noticed_by_looking_and_it_is_said() {
    let folder = folder();
    let path = folder.path().join("file.txt");
    fs::write(&path, "0").unwrap();
    let files = Files::start_polling("a test asked for it");
    let followed = Followed::by(&files, &path);
    let why = "a test asked for it".to_owned();
    assert_eq!(followed.file.state().watching, Watching::Polling { why });
    assert_eq!(followed.value(), "0");
    fs::write(&path, "1").unwrap();
    followed.until_live("1");
    save(&path, "2");
    followed.until_live("2");
    // The same size, and soon enough for a coarse clock to miss it.
    fs::write(&path, "3").unwrap();
    followed.until_live("3");
    fs::remove_file(&path).unwrap();
    followed.until("absence", |state| !state.present);
    fs::write(&path, "4").unwrap();
    followed.until_live("4");
}

#[test]
fn a_slow_writer_is_believed_when_the_file_reads_the_same_twice() {
    let folder = folder();
    let path = folder.path().join("file.txt");
    fs::write(&path, "whole").unwrap();
    let files = Files::start_polling("a test asked for it");
    let followed = Followed::by(&files, &path);
    let content = "written byte by byte";
    let mut open = File::create(&path).unwrap();
    for byte in content.bytes() {
        open.write_all(&[byte]).unwrap();
        // The writer's own slowness is what is tested; it is quicker than two reads.
        thread::sleep(Duration::from_millis(100));
        assert_eq!(followed.value(), "whole");
    }
    drop(open);
    followed.until_live(content);
    assert_eq!(followed.file.state().generation, 2);
}
