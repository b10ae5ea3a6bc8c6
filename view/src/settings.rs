//! What can be set: each key with what it means, what holds, and what the operator's edit came to.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Text;

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The files, the window's own first.
    pub files: Arc<[SettingsFile]>,
    /// What the operator typed last, and what is to be said about it.
    pub checked: Option<Checked>,
}

/// A file of settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SettingsFile {
    /// A [`crate::Module::name`], and how actions name it.
    pub name: Text,
    /// Whose settings these are, in a word.
    pub title: Text,
    /// They are this window's own: changing one changes nothing for anybody else.
    pub own: bool,
    /// Where it lies; empty where there is no place for it.
    pub path: Text,
    /// What is to be known about it, in a sentence; may be empty.
    pub note: Text,
    /// Why nothing of it can be changed here, and what to do; empty where it can.
    pub locked: Text,
    /// In the order of the file.
    pub keys: Arc<[Setting]>,
}

/// One setting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Its key, dotted where it is nested.
    pub key: Text,
    /// A sentence for people.
    pub meaning: Text,
    /// What its value can be.
    pub form: Form,
    /// What the file says, or its default where the file does not, as the file would have it.
    pub value: Text,
    /// What holds now; `None` where nobody knows, as while the broker does not answer.
    pub live: Option<Text>,
    /// What holds where nothing is set.
    pub default: Text,
    /// What it may be, in words: `1 to 1,000,000`; may be empty.
    pub range: Text,
    /// What it is counted in, in a word; may be empty.
    pub unit: Text,
}

/// What a setting's value can be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// Anything that can be typed and that its range allows.
    #[default]
    Typed,
    /// `true` or `false`.
    Flag,
    /// One of these.
    Choice(Arc<[Text]>),
}

/// What is to be said about a value that was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// A [`SettingsFile::name`].
    pub file: Text,
    /// A [`Setting::key`].
    pub key: Text,
    /// The value.
    pub text: Text,
    /// What there is to say.
    pub verdict: Verdict,
}

/// What there is to say about a value that was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It could be saved.
    #[default]
    Fine,
    /// It could not, and why.
    Wrong(Text),
    /// It is being written.
    Saving,
    /// The file has it.
    Saved,
}
