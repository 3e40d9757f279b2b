//! Lines of logs.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One line of `GET /api/containers/{id}/logs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogEntry {
    /// The line, invalid UTF-8 replaced; control characters are still in it.
    pub line: String,
    /// Milliseconds since 1970; `null` when the engine does not tell.
    pub timestamp: Option<i64>,
    /// `true` when it came by stderr.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stderr: bool,
    /// The line's own bytes in base64, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
}

impl LogEntry {
    /// A line of any bytes.
    #[must_use]
    pub fn new(bytes: &[u8], timestamp: Option<i64>, stderr: bool) -> Self {
        let line = String::from_utf8_lossy(bytes);
        let raw = matches!(line, Cow::Owned(_)).then(|| STANDARD.encode(bytes));
        Self { line: line.into_owned(), timestamp, stderr, raw }
    }

    /// The line as it was written.
    #[must_use]
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        let raw = self.raw.as_ref().and_then(|raw| STANDARD.decode(raw).ok());
        raw.map_or_else(|| self.line.as_bytes().into(), Cow::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_comes_over_the_wire_as_it_was() {
        for (line, raw) in [(&b"plain \xc3\xa9"[..], false), (&b"\xff\xfe\x00\xc3"[..], true), (&b""[..], false)] {
            let entry = LogEntry::new(line, Some(7), false);
            assert_eq!(entry.raw.is_some(), raw);
            let wire = serde_json::to_string(&entry).unwrap();
            let back: LogEntry = serde_json::from_str(&wire).unwrap();
            assert_eq!((&*back.bytes(), &back), (line, &entry), "{wire}");
        }
        let torn = LogEntry { raw: Some("no base64!".to_owned()), ..LogEntry::new(b"x", None, false) };
        assert_eq!(&*torn.bytes(), b"x");
    }
}
