//! One line of the palette: what it is called, how it is found, what it does.

use ui_kit::wish::Wish;
use warden_view::{Action, Column, Dialog, Selection};

/// What an entry is about, in the order in which equal matches stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Act,
    Window,
    Panel,
    Theme,
    Setting,
    Reload,
    Holder,
    Gpu,
    Waiter,
}

impl Kind {
    /// In a word, as it is shown and searched.
    pub fn word(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::Window => "window",
            Self::Panel => "panel",
            Self::Theme => "theme",
            Self::Setting => "setting",
            Self::Reload => "reload",
            Self::Holder => "holder",
            Self::Gpu => "gpu",
            Self::Waiter => "waiter",
        }
    }
}

/// What choosing an entry does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Deed {
    /// Asks the host.
    Push(Action),
    /// Opens the dialog that asks the operator first.
    Ask(Dialog),
    /// Selects a row and brings it into sight.
    Select(Selection),
    /// Asks the panels.
    Wish(Wish),
    /// Sorts the queue.
    Sort(Column),
    /// Clears filter and sorting.
    Unfiltered,
    /// Puts the panels where they fit the window.
    StandardLayout,
    /// Draws everything larger or smaller.
    Zoom(Zoom),
}

/// How everything is drawn larger or smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zoom {
    In,
    Out,
    /// As large as the screen says.
    Reset,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// What it is remembered by: stays the same while the rest of the line changes.
    pub key: String,
    pub kind: Kind,
    pub title: String,
    /// What is said beside the title.
    pub about: String,
    /// The id that is searched too, as [`Self::about`] has it; may be empty.
    pub id: String,
    /// The keys that do the same, where there are any.
    pub cap: &'static str,
    pub deed: Deed,
    /// Why it cannot be done now.
    pub off: Option<&'static str>,
    /// It was chosen lately.
    pub recent: bool,
    /// The characters of the title and of what is said beside it that matched, from 0, in order.
    pub marks: (Vec<u32>, Vec<u32>),
}

impl Entry {
    pub fn new(kind: Kind, key: &str, title: impl Into<String>, deed: Deed) -> Self {
        Self {
            key: format!("{}/{key}", kind.word()),
            kind,
            title: title.into(),
            about: String::new(),
            id: String::new(),
            cap: "",
            deed,
            off: None,
            recent: false,
            marks: (Vec::new(), Vec::new()),
        }
    }

    pub fn about(self, about: impl Into<String>) -> Self {
        Self {
            about: about.into(),
            ..self
        }
    }

    /// An id that is searched, and what is said before and after it.
    pub fn with_id(self, before: &str, id: &str, after: &str) -> Self {
        let parts = [before, id, after];
        let said: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Self {
            id: id.to_owned(),
            about: said.join("  "),
            ..self
        }
    }

    pub fn cap(self, cap: &'static str) -> Self {
        Self { cap, ..self }
    }

    /// Cannot be done now, where there is a reason.
    pub fn unless(self, off: Option<&'static str>) -> Self {
        Self { off, ..self }
    }

    /// The operator is asked first.
    pub fn asks(&self) -> bool {
        matches!(&self.deed, Deed::Ask(dialog) if *dialog != Dialog::Keys)
    }

    /// It ends something of somebody's.
    pub fn ends(&self) -> bool {
        self.asks() && self.deed != Deed::Ask(Dialog::Reset)
    }
}

/// What is searched of a line: a match in the title counts most.
pub(crate) fn searched(into: &mut String, title: &str, id: &str) {
    into.clear();
    into.push_str(title);
    into.push(' ');
    into.push_str(id);
}
