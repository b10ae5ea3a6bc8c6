//! What keeps the broker from doing all that it should, for whoever asks and for whoever follows.

use tokio::sync::watch;
use warden::wire::notice::{Notice, NoticeCode};

/// All notices that hold, what pauses grants first.
#[derive(Debug)]
pub(crate) struct Notices {
    list: watch::Sender<Vec<Entry>>,
}

/// A notice, and what it is about where there can be several of its kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    subject: String,
    notice: Notice,
}

impl Notices {
    pub(crate) fn new() -> Self {
        Self {
            list: watch::Sender::new(Vec::new()),
        }
    }

    /// Says something, in place of what was said of the same before.
    pub(crate) fn say(&self, subject: &str, notice: Notice) {
        self.put(notice.code, subject, Some(notice));
    }

    /// It is over.
    pub(crate) fn clear(&self, code: NoticeCode, subject: &str) {
        self.put(code, subject, None);
    }

    fn put(&self, code: NoticeCode, subject: &str, notice: Option<Notice>) {
        self.list.send_if_modified(|list| {
            let same = |entry: &Entry| entry.notice.code == code && entry.subject == subject;
            let said = list.iter().find(|entry| same(entry));
            if said.map(|entry| &entry.notice) == notice.as_ref() {
                return false;
            }
            list.retain(|entry| !same(entry));
            list.extend(notice.map(|notice| Entry {
                subject: subject.to_owned(),
                notice,
            }));
            list.sort_by(|a, b| {
                let key = |entry: &Entry| (entry.notice.code, entry.subject.clone());
                key(a).cmp(&key(b))
            });
            true
        });
    }

    /// Those that hold now.
    pub(crate) fn list(&self) -> Vec<Notice> {
        let list = self.list.borrow();
        list.iter().map(|entry| entry.notice.clone()).collect()
    }

    /// Hears of every change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Vec<Entry>> {
        self.list.subscribe()
    }
}
