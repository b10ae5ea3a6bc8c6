//! Server-sent events as bytes: the part of the HTML standard's `text/event-stream` that a broker
//! uses, with a bound on what one event may take. No `retry` field: reconnecting is ours to pace.

use std::mem;

/// One event as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawEvent {
    /// `message` where the sender named none.
    pub(crate) name: String,
    /// Lines joined by line feeds.
    pub(crate) data: Vec<u8>,
    /// Empty where the sender gave none.
    pub(crate) id: String,
}

/// An event larger than the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Takes bytes as they come, however they are cut, and gives whole events.
#[derive(Debug)]
pub(crate) struct Decoder {
    line: Vec<u8>,
    event: RawEvent,
    has_data: bool,
    /// The last byte was a carriage return, so a line feed right after it ends no second line.
    after_cr: bool,
    at_start: bool,
    max_bytes: usize,
}

impl Decoder {
    /// `max_bytes` bounds a line as well as an event's data.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            line: Vec::new(),
            event: RawEvent::default(),
            has_data: false,
            after_cr: false,
            at_start: true,
            max_bytes,
        }
    }

    /// Calls `emit` with each event that `bytes` completes.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut emit: impl FnMut(RawEvent),
    ) -> Result<(), TooLarge> {
        if self.after_cr && bytes.first() == Some(&b'\n') {
            bytes = &bytes[1..];
        }
        if !bytes.is_empty() {
            self.after_cr = false;
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend_line(&bytes[..end])?;
            let is_cr = bytes[end] == b'\r';
            let next = match (is_cr, bytes.get(end + 1)) {
                (true, Some(b'\n')) => end + 2,
                (true, None) => {
                    self.after_cr = true;
                    end + 1
                }
                _ => end + 1,
            };
            bytes = &bytes[next..];
            if let Some(event) = self.end_line()? {
                emit(event);
            }
        }
        self.extend_line(bytes)
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        if self.line.len() + bytes.len() > self.max_bytes {
            return Err(TooLarge);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Result<Option<RawEvent>, TooLarge> {
        let mut line = mem::take(&mut self.line);
        if mem::take(&mut self.at_start) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if line.is_empty() {
            let mut event = mem::take(&mut self.event);
            if !mem::take(&mut self.has_data) {
                return Ok(None);
            }
            if event.name.is_empty() {
                "message".clone_into(&mut event.name);
            }
            return Ok(Some(event));
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.event.name = String::from_utf8_lossy(value).into_owned(),
            b"id" => self.event.id = String::from_utf8_lossy(value).into_owned(),
            b"data" => self.add_data(value)?,
            // A comment, or a field that means nothing here.
            _ => {}
        }
        Ok(None)
    }

    fn add_data(&mut self, value: &[u8]) -> Result<(), TooLarge> {
        let data = &mut self.event.data;
        if data.len() + value.len() + 1 > self.max_bytes {
            return Err(TooLarge);
        }
        if mem::replace(&mut self.has_data, true) {
            data.push(b'\n');
        }
        data.extend_from_slice(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(chunks: &[&[u8]]) -> Vec<RawEvent> {
        let mut decoder = Decoder::new(64);
        let mut events = Vec::new();
        for chunk in chunks {
            decoder.feed(chunk, |event| events.push(event)).unwrap();
        }
        events
    }

    fn event(name: &str, data: &str, id: &str) -> RawEvent {
        RawEvent {
            name: name.to_owned(),
            data: data.as_bytes().to_vec(),
            id: id.to_owned(),
        }
    }

    #[test]
    fn every_line_ending_and_every_cut_gives_the_same_events() {
        let expected = vec![event("granted", "{\n}", "7"), event("message", "x", "")];
        for ending in ["\n", "\r\n", "\r"] {
            let text = "\u{feff}: hello\nid: 7\nevent: granted\ndata: {\ndata:}\n\ndata: x\n\n"
                .replace('\n', ending);
            // A last line feed may still belong to a carriage return, hence the comment.
            let text = text + ":";
            for cut in 0..text.len() {
                let (a, b) = text.as_bytes().split_at(cut);
                assert_eq!(decode(&[a, b]), expected, "{ending:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn an_event_without_data_is_none_and_an_unfinished_one_is_not_yet() {
        assert_eq!(decode(&[b"event: a\nid: 1\n\n", b"data: y\n"]), vec![]);
    }

    #[test]
    fn what_exceeds_the_bound_is_refused() {
        let mut decoder = Decoder::new(64);
        assert_eq!(decoder.feed(&[b'a'; 65], |_| {}), Err(TooLarge));
        let mut decoder = Decoder::new(64);
        let line = format!("data:{}\n", "b".repeat(40));
        assert_eq!(decoder.feed(line.as_bytes(), |_| {}), Ok(()));
        assert_eq!(decoder.feed(line.as_bytes(), |_| {}), Err(TooLarge));
    }
}
