//! A folder of configuration of the test's own.

#![allow(dead_code, reason = "each test program uses its own part of it")]
#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use warden_reload::files::{EnvMap, entries};
use warden_reload::promotion::{Ack, FromFile, Place, Promotions};

pub const SCHEMA: &str = r#"{
    "SIZE": (type: whole, min: 64, max: 4096, shared: true, meaning: "How much at once."),
    "MODE": (choices: ["fast", "good"], shared: true),
    "KEY": (meaning: "A secret."),
    "NEXT": (type: whole),
}"#;

pub const CHECKS: &str = r#"{
    "good": (command: ["true"]),
    "bad": (command: ["false"]),
    "slow": (command: ["sleep", "60"], window_ms: 50),
    "size": (command: ["grep", "-q", "^SIZE=1000", "shared.env"]),
}"#;

pub const ENV: &str = "# Ours\nSIZE=512 # a size\n\nKEY=s3cret\n";

pub struct Folder {
    pub dir: TempDir,
}

impl Folder {
    pub fn new() -> Self {
        let folder = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        folder.write("schema.ron", SCHEMA);
        folder.write("checks.ron", CHECKS);
        folder.write("shared.env", ENV);
        folder
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub fn winner(&self, id: &str, json: &str) -> PathBuf {
        self.write(&format!("winners/{id}.json"), json)
    }

    pub fn place(&self) -> Place {
        Place::new(self.path(), None)
    }

    pub fn open(&self) -> Promotions {
        Promotions::open(self.place(), Duration::from_secs(20)).unwrap()
    }

    pub fn live(&self) -> FromFile {
        FromFile::new(self.place().env())
    }

    pub fn text(&self) -> String {
        fs::read_to_string(self.place().env()).unwrap()
    }

    pub fn values(&self) -> EnvMap {
        let entries = entries(&self.text()).unwrap();
        entries
            .into_iter()
            .map(|entry| (entry.key, entry.value))
            .collect()
    }

    pub fn ack(&self, id: &str) -> Option<Ack> {
        let text = fs::read_to_string(self.place().ack(id)).ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }

    /// Temporary files, wherever.
    pub fn litter(&self) -> Vec<PathBuf> {
        let place = self.place();
        [self.path().to_owned(), place.history(), place.acks()]
            .iter()
            .flat_map(|folder| fs::read_dir(folder).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "new"))
            .collect()
    }
}
