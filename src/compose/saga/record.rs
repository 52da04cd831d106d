//! What is kept of a saga: all that it needs to go on in another process, and what its client is told when it asks again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::clock;
use super::machine::{Keep, State};

/// The form of what is kept.
const FORMAT: u32 = 1;
/// The most bytes that are kept of one saga until it has ended: a half of what its request says, a half of its steps' answers.
pub(crate) const LARGEST: usize = 2 << 20;
/// The most bytes of what its client is answered.
pub(crate) const LARGEST_TOLD: usize = 1 << 20;
/// The most bytes of a value that is kept for operators alone.
const SHORT: usize = 256;
/// How many acts of operators are remembered of a saga, the last ones.
const MOST_ACTS: usize = 16;

/// The name of a saga: a UUIDv7, which sorts by time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id(pub(super) u128);

impl Id {
    /// A new one.
    pub(crate) fn fresh() -> Self {
        Self(Uuid::now_v7().as_u128())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.0).as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Uuid::try_parse(text).map(|id| Self(id.as_u128())).map_err(|_| format!("`{text}` is no saga's id"))
    }
}

/// A SHA-256 hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Hash(pub(super) [u8; 32]);

impl Hash {
    /// Of these parts, which are told apart.
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Self(hash)
    }

    /// What a saga of this route is found by whose client asks with a key of these parts.
    pub(crate) fn of_key(route: &str, parts: &[Vec<u8>]) -> Self {
        let parts: Vec<&[u8]> = std::iter::once(route.as_bytes()).chain(parts.iter().map(Vec::as_slice)).collect();
        Self::of(&parts)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut hash = [0; 32];
        if text.len() != 64 {
            return Err(serde::de::Error::custom("a hash has 64 digits"));
        }
        for (index, byte) in hash.iter_mut().enumerate() {
            let digits = text.get(2 * index..2 * index + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
            *byte = digits.ok_or_else(|| serde::de::Error::custom("a hash has hexadecimal digits"))?;
        }
        Ok(Self(hash))
    }
}

/// Milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Millis(pub u64);

impl Millis {
    /// Now, as far as the clock is to be believed.
    pub(crate) fn now() -> Self {
        clock::now()
    }

    /// As the clock has it.
    pub(crate) fn time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0)
    }

    /// So much later.
    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long it takes from here until then; nothing where that is over.
    pub(crate) fn until(self, then: Self) -> Duration {
        Duration::from_millis(then.0.saturating_sub(self.0))
    }
}

/// What a client was, or would have been, answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// The status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: String,
    /// Whole seconds for `Retry-After`, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The body.
    #[serde(with = "base64")]
    pub body: Bytes,
}

/// The client's body, where a step sends it as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Body {
    /// `Content-Type`, where it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `Content-Encoding`, where it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// Its bytes.
    #[serde(with = "base64")]
    pub bytes: Bytes,
}

/// Why a saga turned to undoing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// The step that failed.
    pub step: usize,
    /// What was wrong, in a few words: a status, or what became of the call.
    pub why: String,
}

/// What an operator did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Act {
    /// When.
    pub at: Millis,
    /// Who, as far as that is known.
    pub who: String,
    /// `retry`, `abandon` or `undo`.
    pub what: String,
    /// What was written to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Where the saga was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<State>,
}

/// A saga as it is kept. Values are texts of JSON, as they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(super) format: u32,
    /// The route that it began on.
    pub route: String,
    /// What its client asks with again.
    pub key: Hash,
    /// What the client asked for.
    pub fingerprint: Hash,
    /// The definition that it goes by.
    pub definition: Hash,
    /// The request's identifier.
    pub request_id: String,
    /// What the definition refers to of the request.
    pub facts: BTreeMap<String, String>,
    /// The client's body, where a step sends it as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// By the index of a step, what others refer to of its answer.
    pub answers: BTreeMap<usize, BTreeMap<String, String>>,
    /// Where it is.
    pub state: State,
    /// Why it turned to undoing, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The first undo that was to be made, where some were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turned_at: Option<usize>,
    /// The steps that an operator wants to stay where the others are taken back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub left: BTreeSet<usize>,
    /// What was wrong with the last attempt of what it is stuck at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// How often that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<u32>,
    /// When it began.
    pub begun: Millis,
    /// When its state last changed.
    pub changed: Millis,
    /// From when on its deadline counts.
    pub deadline_from: Millis,
    /// From when on the time counts after which it is given up.
    pub give_up_from: Millis,
    /// What its client is told from now on, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// What operators did, the last ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acts: Vec<Act>,
}

impl Record {
    /// One that begins now.
    pub(crate) fn begin(route: String, key: Hash, fingerprint: Hash, definition: Hash, request_id: String, now: Millis) -> Self {
        Self {
            format: FORMAT,
            route,
            key,
            fingerprint,
            definition,
            request_id,
            facts: BTreeMap::new(),
            body: None,
            answers: BTreeMap::new(),
            state: State::Running(0),
            failure: None,
            turned_at: None,
            left: BTreeSet::new(),
            trouble: None,
            tried: None,
            begun: now,
            changed: now,
            deadline_from: now,
            give_up_from: now,
            answer: None,
            acts: Vec::new(),
        }
    }

    /// The state that a machine wants kept, and what follows from it for its times.
    pub(crate) fn moves(&mut self, keep: Keep, now: Millis) {
        let was_undoing = matches!(self.state, State::Undoing(_));
        if let State::Undoing(first) = keep.state {
            self.turned_at.get_or_insert(first);
        }
        self.state = keep.state;
        self.changed = now;
        if keep.anew {
            (self.deadline_from, self.give_up_from) = (now, now);
        } else if matches!(keep.state, State::Running(_)) || (matches!(keep.state, State::Undoing(_)) && !was_undoing) {
            self.give_up_from = now;
        }
    }

    /// Nothing is sent for it any more that is not taken back: no step sends its client's body. Where nothing can be taken back either, what is
    /// left of its values is what operators look for.
    pub(crate) fn ends(&mut self) {
        self.body = None;
        if matches!(self.state, State::Undone | State::Abandoned) {
            let is_short = |_: &String, value: &mut String| value.len() <= SHORT;
            self.facts.retain(is_short);
            self.answers.values_mut().for_each(|values| values.retain(is_short));
        }
    }

    /// Remembers what an operator did.
    pub(crate) fn acted(&mut self, act: Act) {
        if self.acts.len() == MOST_ACTS {
            self.acts.remove(0);
        }
        self.acts.push(act);
    }

    /// As it is written.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers")
    }

    /// What was written.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(bytes).map_err(|error| format!("it is damaged at byte {}", error.column()))?;
        if record.format == FORMAT { Ok(record) } else { Err(format!("its form is {}, and {FORMAT} is known here", record.format)) }
    }
}

/// Bytes in JSON.
mod base64 {
    use ::base64::Engine as _;
    use ::base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Bytes::from).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was_written_and_another_form_does_not() {
        let hash = Hash::of(&[b"a"]);
        let mut record = Record::begin("checkout".to_owned(), hash, Hash::of(&[b"b"]), Hash::of(&[b"c"]), "1".to_owned(), Millis(7));
        record.facts.insert("claim.sub".to_owned(), "\"u1\"".to_owned());
        record.body =
            Some(Body { content_type: None, content_encoding: Some("gzip".to_owned()), bytes: Bytes::from_static(b"\xff\x00{}") });
        record.answers.entry(1).or_default().insert("id".to_owned(), "12345678901234567890".to_owned());
        record.answer =
            Some(Answer { status: 200, content_type: "application/json".to_owned(), retry_after: None, body: Bytes::from_static(b"{}") });

        let written = record.to_bytes();

        assert_eq!(Record::read(&written), Ok(record.clone()));
        let other = String::from_utf8(written).expect("text").replace("\"format\":1", "\"format\":2");
        assert_eq!(Record::read(other.as_bytes()), Err("its form is 2, and 1 is known here".to_owned()));
        let id = Id::fresh();
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn of_one_that_has_ended_is_kept_what_it_may_need_or_an_operator_looks_for() {
        let hash = Hash::of(&[]);
        let mut record = Record::begin(String::new(), hash, hash, hash, String::new(), Millis(1));
        let (short, long) = ("\"a-1\"".to_owned(), format!("\"{}\"", "x".repeat(300)));
        record.facts = BTreeMap::from([("body.sku".to_owned(), short.clone()), ("body.text".to_owned(), long.clone())]);
        record.answers.insert(0, record.facts.clone());
        record.body = Some(Body { content_type: None, content_encoding: None, bytes: Bytes::from_static(b"{}") });

        record.state = State::Done;
        record.ends();
        assert_eq!((&record.body, record.facts.len(), record.answers[&0].len()), (&None, 2, 2), "it may be taken back");
        record.state = State::Undone;
        record.ends();

        assert_eq!(record.facts, BTreeMap::from([("body.sku".to_owned(), short)]));
        assert_eq!(record.answers[&0], record.facts);
    }

    #[test]
    fn parts_of_a_hash_are_told_apart() {
        assert_ne!(Hash::of(&[b"ab", b"c"]), Hash::of(&[b"a", b"bc"]));
        assert_ne!(Hash::of(&[b"a"]), Hash::of(&[b"a", b""]));
    }

    #[test]
    fn the_time_to_give_up_counts_from_the_turn_and_for_each_step_anew() {
        let hash = Hash::of(&[]);
        let mut record = Record::begin(String::new(), hash, hash, hash, String::new(), Millis(1));
        let keep = |state, anew| Keep { state, answer: None, failed: None, anew };

        let mut times = Vec::new();
        for (state, anew, now) in [
            (State::Running(1), false, 10),
            (State::Undoing(1), false, 20),
            (State::Undoing(0), false, 30),
            (State::Stuck(super::super::machine::Stuck::Undo(0)), false, 40),
            (State::Undoing(0), true, 50),
        ] {
            record.moves(keep(state, anew), Millis(now));
            times.push((record.deadline_from.0, record.give_up_from.0));
        }

        assert_eq!(times, [(1, 10), (1, 20), (1, 20), (1, 20), (50, 50)]);
    }
}
