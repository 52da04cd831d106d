//! What a gateway has told, as words for people on a terminal.

use serde_json::Value;

use crate::terminal::without_obeyed;

/// A field as it is read; a dash where there is none.
pub(super) fn text(of: &Value, name: &str) -> String {
    match &of[name] {
        Value::String(text) => shown(text),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// What a client chose, without what a terminal would obey.
pub(super) fn shown(text: &str) -> String {
    without_obeyed(text, '\u{fffd}')
}
