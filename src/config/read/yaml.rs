//! From the text of one file to what YAML says it is, with the place of every value.
//!
//! The reader is bounded everywhere: a hostile file is refused within milliseconds, not expanded.

use std::cell::Cell;
use std::fmt;
use std::ops::Range;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::{DuplicateKeyPolicy, Error, Location, MessageFormatter, Options, Spanned, UserMessageFormatter};

use super::layout;

/// The largest file that is read, in bytes.
pub(crate) const MAX_BYTES: u64 = 8 << 20;

/// How many events of YAML a file may always have: each value is one, a list or map two.
const EVENTS: usize = 60_000;

/// How many it may have where it is so long that they are written out in it, each in [`EVENT`] bytes. 10,000 routes have some 130,000.
const MAX_EVENTS: usize = 250_000;

/// What is written in less is no configuration.
const EVENT: usize = 4;

/// How many of them aliases may add.
const MAX_REPLAYED: usize = 60_000;

/// How many bytes of text there may be once aliases are followed.
const MAX_TEXT: usize = 2 * MAX_BYTES as usize;

thread_local! {
    /// How much text of the present file was read.
    static TEXT: Cell<usize> = const { Cell::new(0) };
}

/// Counts text that was read, unless it is too much.
fn count<E: de::Error>(text: &str) -> Result<(), E> {
    let all = TEXT.get() + text.len();
    TEXT.set(all);
    if all > MAX_TEXT { Err(E::custom(TOO_MUCH)) } else { Ok(()) }
}

/// As the parser says it of its own bounds.
const TOO_MUCH: &str = "too large or too complex";

/// A value as YAML resolves it, under the rules of version 1.2: only `true` and `false` are booleans.
#[derive(Debug)]
pub(crate) enum Raw {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of 0 or more.
    Unsigned(u64),
    /// A negative whole number.
    Signed(i64),
    /// A finite number with a fraction or an exponent, or a whole one beyond 64 bits.
    Float(f64),
    /// Everything else that is no collection.
    Text(String),
    /// A list.
    Seq(Vec<Spanned<Raw>>),
    /// A map in the order it is written, with what `<<` brought in; a key may still occur twice.
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

/// Why a text is not one YAML document.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes.
    pub range: Range<usize>,
    /// What would be right.
    pub help: Option<String>,
}

impl From<layout::Mistake> for Unreadable {
    fn from(mistake: layout::Mistake) -> Self {
        Self { message: mistake.message, range: mistake.range, help: mistake.help }
    }
}

/// Reads the one document of a file. An empty file is null.
pub(crate) fn read(text: &str) -> Result<Spanned<Raw>, Unreadable> {
    if text.len() as u64 > MAX_BYTES {
        return Err(Unreadable { message: format!("the file is larger than {} MiB", MAX_BYTES >> 20), range: 0..0, help: None });
    }
    // For YAML they are the beginning of a key.
    if let Some(mistake) = layout::odd_indentation(text) {
        return Err(mistake.into());
    }
    TEXT.set(0);
    let events = (text.len() / EVENT).clamp(EVENTS, MAX_EVENTS);
    serde_yaml::from_str_with_options(text, options(events)).map_err(|error| {
        let range = error.location().map(|at| bytes(text, &at)).unwrap_or_default();
        let error = error.without_snippet();
        let message = UserMessageFormatter.format_message(error).into_owned();
        let several = matches!(error, Error::MultipleDocuments { .. }) || message.contains("Documents");
        if message.contains(TOO_MUCH) && !several {
            let most = format!("at most {events} values and brackets, and {MAX_REPLAYED} more through aliases");
            let help = Some("write several files in a directory".to_owned());
            return Unreadable { message: format!("the file is too large or too complex: {most}"), range, help };
        }
        match layout::explain(text) {
            Some(mistake) => mistake.into(),
            None => Unreadable { message, range, help: None },
        }
    })
}

/// The bytes of a location. The parser counts characters where it does not know the bytes.
pub(crate) fn bytes(text: &str, at: &Location) -> Range<usize> {
    let (start, len) = match (at.span().byte_offset(), at.span().byte_len()) {
        (Some(start), Some(len)) => (start as usize, len as usize),
        _ => {
            let line_start: usize = text.split_inclusive('\n').take((at.line().max(1) - 1) as usize).map(str::len).sum();
            let column = at.column().max(1) as usize - 1;
            let line = text.get(line_start..).unwrap_or_default();
            (line_start + line.char_indices().nth(column).map_or(line.len(), |(offset, _)| offset), 1)
        }
    };
    // Never beyond the text, never between the bytes of a character.
    let floor = |mut offset: usize| {
        offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    };
    floor(start)..floor(start.saturating_add(len))
}

fn options(events: usize) -> Options {
    let mut options = serde_yaml::options! {
        // Repeated keys are found later, where both places are known.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        reject_unsupported_tags: true,
        non_finite_float_policy: serde_yaml::NonFiniteFloatPolicy::AsString,
        with_snippet: false,
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: MAX_REPLAYED, max_replay_stack_depth: 16 },
    };
    options.budget = serde_yaml::budget! {
        max_events: events,
        max_nodes: events,
        max_recorded_anchor_events: MAX_REPLAYED,
        max_recorded_anchor_bytes: MAX_BYTES as usize,
        max_depth: 64,
        max_documents: 1,
        max_merge_keys: 20_000,
        // One anchor used by every route is what anchors are for.
        enforce_alias_anchor_ratio: false,
    };
    options
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }
    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Unsigned(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(u64::try_from(value).map_or(Raw::Signed(value), Raw::Unsigned))
    }
    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(u64::try_from(value).map_or(Raw::Float(value as f64), Raw::Unsigned))
    }
    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(i64::try_from(value).map_or(Raw::Float(value as f64), Raw::Signed))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(if value.is_finite() { Raw::Float(value) } else { Raw::Text(value.to_string()) })
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        count(value)?;
        Ok(Raw::Text(value.to_owned()))
    }
    fn visit_string<E: de::Error>(self, value: String) -> Result<Raw, E> {
        count(&value)?;
        Ok(Raw::Text(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::Seq(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry::<Spanned<String>, _>()? {
            count(&entry.0.value)?;
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
