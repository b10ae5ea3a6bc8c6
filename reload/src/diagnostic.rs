//! What the compiler says, as data.

use serde::Deserialize;

use crate::failure::Place;

/// One message of the compiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub level: Level,
    /// Its first line.
    pub title: String,
    /// The compiler's code for it, `E0308` or a lint's name, if it has one.
    pub code: Option<String>,
    /// Where its primary span begins, if it has one.
    pub place: Option<Place>,
    /// As the compiler lays it out for a terminal without colours.
    pub rendered: String,
}

/// How bad a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// A note or a help that belongs to no other message.
    Note,
    /// The library is built all the same.
    Warning,
    /// There is no library.
    Error,
}

/// As rustc writes it within cargo's JSON.
#[derive(Deserialize)]
pub(crate) struct Message {
    message: String,
    level: String,
    rendered: Option<String>,
    code: Option<Code>,
    spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    line_start: u32,
    column_start: u32,
    is_primary: bool,
}

impl From<Message> for Diagnostic {
    fn from(message: Message) -> Self {
        let level = match message.level.as_str() {
            "warning" => Level::Warning,
            level if level.starts_with("error") => Level::Error,
            _ => Level::Note,
        };
        let primary = message.spans.into_iter().find(|span| span.is_primary);
        Self {
            level,
            rendered: message.rendered.unwrap_or_else(|| message.message.clone()),
            title: message.message,
            code: message.code.map(|code| code.code),
            place: primary.map(|span| Place {
                file: span.file_name,
                line: span.line_start,
                column: span.column_start,
            }),
        }
    }
}
