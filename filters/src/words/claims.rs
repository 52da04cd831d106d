//! What a token or a key says: a JSON object whose names are unique, and whose numbers keep their digits.
//!
//! Two parsers that keep different ones of a pair of names would read two different tokens. A number that went through a `double` could be
//! another caller's: 9007199254740993 and 9007199254740992 are two accounts.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// An object: every name once, at every depth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(Box<[(Box<str>, Claim)]>);

/// What stands under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// `null`.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A number as it was written.
    Number(Box<str>),
    /// A text.
    Text(Box<str>),
    /// A list.
    List(Box<[Claim]>),
    /// An object.
    Object(Claims),
}

/// How deep lists and objects may be nested.
const DEEPEST: u32 = 127;

impl Claims {
    /// Reads an object and nothing else; none where it is not one, is nested out of all proportion, or has a name twice.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { text: std::str::from_utf8(bytes).ok()?, at: 0 };
        let Claim::Object(claims) = reader.value(DEEPEST)? else { return None };
        reader.space();
        (reader.at == reader.text.len()).then_some(claims)
    }

    /// What stands under this name.
    pub fn get(&self, name: &str) -> Option<&Claim> {
        let index = self.0.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        Some(&self.0[index].1)
    }

    /// All names, sorted, with what stands under each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Claim)> {
        self.0.iter().map(|(name, claim)| (&**name, claim))
    }

    /// None where a name stands twice.
    fn of(mut members: Vec<(Box<str>, Claim)>) -> Option<Self> {
        // Sorted, so that neither a look nor the search for pairs is slow, however many names somebody sends.
        members.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let unique = members.windows(2).all(|pair| pair[0].0 != pair[1].0);
        unique.then(|| Self(members.into()))
    }
}

impl Claim {
    /// Its text, where it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Its members, where it is a list.
    pub fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// Its members, where it is an object.
    pub fn object(&self) -> Option<&Claims> {
        match self {
            Self::Object(claims) => Some(claims),
            _ => None,
        }
    }

    /// About what it is, where it is a number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// Its text, its digits, `true` or `false`: what stands for itself.
    pub fn word(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(digits) => Some(digits),
            Self::Flag(flag) => Some(if *flag { "true" } else { "false" }),
            Self::Null | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// Its word, or those of a list, joined by commas. Objects and null have none.
    pub fn words(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::List(list) => {
                let parts = list.iter().map(Self::words).collect::<Option<Vec<_>>>()?;
                Some(parts.join(",").into())
            }
            one => one.word().map(Cow::Borrowed),
        }
    }
}

impl From<Map<String, Value>> for Claims {
    fn from(map: Map<String, Value>) -> Self {
        Self::of(map.into_iter().map(|(name, value)| (name.into(), value.into())).collect()).unwrap_or_default()
    }
}

impl From<Value> for Claim {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Flag(flag),
            Value::Number(number) => Self::Number(number.to_string().into()),
            Value::String(text) => Self::Text(text.into()),
            Value::Array(list) => Self::List(list.into_iter().map(Self::from).collect()),
            Value::Object(map) => Self::Object(map.into()),
        }
    }
}

/// A reader of JSON (RFC 8259), which is at this byte.
struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Whether this byte is the next one, which then is taken.
    fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn word(&mut self, word: &str, claim: Claim) -> Option<Claim> {
        self.text[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            claim
        })
    }

    fn value(&mut self, depth: u32) -> Option<Claim> {
        self.space();
        match self.peek()? {
            b'{' => self.object(depth.checked_sub(1)?),
            b'[' => self.list(depth.checked_sub(1)?),
            b'"' => self.string().map(|text| Claim::Text(text.into())),
            b't' => self.word("true", Claim::Flag(true)),
            b'f' => self.word("false", Claim::Flag(false)),
            b'n' => self.word("null", Claim::Null),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: u32) -> Option<Claim> {
        self.at += 1;
        let mut members = Vec::new();
        self.space();
        while !self.takes(b'}') {
            if !members.is_empty() && !self.takes(b',') {
                return None;
            }
            self.space();
            let name = self.string()?.into();
            self.space();
            if !self.takes(b':') {
                return None;
            }
            members.push((name, self.value(depth)?));
            self.space();
        }
        Claims::of(members).map(Claim::Object)
    }

    fn list(&mut self, depth: u32) -> Option<Claim> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        while !self.takes(b']') {
            if !items.is_empty() && !self.takes(b',') {
                return None;
            }
            items.push(self.value(depth)?);
            self.space();
        }
        Some(Claim::List(items.into()))
    }

    fn string(&mut self) -> Option<Cow<'t, str>> {
        let start = self.at;
        if !self.takes(b'"') {
            return None;
        }
        let mut escaped = false;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                0..b' ' => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        let quoted = self.text.get(start..self.at)?;
        if escaped { serde_json::from_str::<String>(quoted).ok().map(Cow::Owned) } else { Some(quoted[1..quoted.len() - 1].into()) }
    }

    fn number(&mut self) -> Option<Claim> {
        let start = self.at;
        self.takes(b'-');
        let leads = self.peek()?;
        let whole = self.digits()?;
        if leads == b'0' && whole > 1 {
            return None;
        }
        if self.takes(b'.') {
            self.digits()?;
        }
        if self.takes(b'e') || self.takes(b'E') {
            let _sign = self.takes(b'-') || self.takes(b'+');
            self.digits()?;
        }
        let digits = &self.text[start..self.at];
        // One without bounds would be a number to some and none to others.
        digits.parse::<f64>().is_ok_and(f64::is_finite).then(|| Claim::Number(digits.into()))
    }

    /// One digit or more: how many.
    fn digits(&mut self) -> Option<usize> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Some(self.at - start).filter(|count| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;

    #[test]
    fn takes_an_object_and_refuses_what_could_be_read_in_two_ways() {
        assert!(Claims::read(br#" {"a": {"b": [1, 2.5, -3, null, true, "x"], "c": []}, "b": 1, "": {}} "#).is_some());
        for text in [
            r#"{"a": 1, "a": 2}"#,
            r#"{"x": {"a": 1, "\u0061": 2}}"#,
            r#"{"x": [{"a": 1, "a": 1}]}"#,
            r#"{"a": 1e999}"#,
            r#"{"a": 1} {}"#,
            r#"{"a": 1,}"#,
            r#"{,"a": 1}"#,
            r#"{"a" 1}"#,
            r#"{"a": [1,]}"#,
            r#"{"a": [1 2]}"#,
            r#"{"a": 01}"#,
            r#"{"a": +1}"#,
            r#"{"a": 1.}"#,
            r#"{"a": .5}"#,
            r#"{"a": 1e}"#,
            r#"{"a": -}"#,
            r#"{"a": NaN}"#,
            r#"{"a": nul}"#,
            r#"{a: 1}"#,
            r#"["a"]"#,
            "\"a\"",
            "",
            "{",
            "{\"a\": \"\u{1}\"}",
            r#"{"a": "\ud800"}"#,
            r#"{"a": "\x"}"#,
            r#"{"a": "\"#,
            "\u{feff}{}",
        ] {
            assert_eq!(Claims::read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Claims::read(b"{\"a\": \"\xff\"}"), None);
        assert_eq!(Claims::read(format!("{{\"a\": {}", "[".repeat(100_000)).as_bytes()), None);
    }

    #[test]
    fn reads_what_another_reader_reads() {
        let text = r#"{"a": "\u0041\ud83d\ude00\n\"\\\/", "é": [[], {}, [0, -0.5, 1e3]], "b": {"c": {"d": false}}}"#;
        let other: Map<String, Value> = serde_json::from_str(text).expect("JSON");

        let claims = Claims::read(text.as_bytes()).expect("an object");

        assert_eq!(claims.get("a").and_then(Claim::text), other["a"].as_str());
        assert_eq!(claims.get("b"), Some(&Claim::from(json!({"c": {"d": false}}))));
        let numbers = claims.get("é").and_then(Claim::list).and_then(|list| list[2].list()).expect("a list");
        assert_eq!(numbers.iter().map(Claim::number).collect::<Vec<_>>(), [Some(0.0), Some(-0.5), Some(1000.0)]);
    }

    #[test]
    fn the_json_test_suite_is_read_as_it_says() {
        let Some(folder) = frontgate_test_support::vectors("json-test-suite") else { return };
        let cases = std::fs::read_to_string(folder.join("cases.jsonl")).expect("the suite");
        let bytes = |text: &Value| STANDARD.decode(text.as_str().unwrap_or_default()).expect("base64");
        let mut seen = 0;
        for line in cases.lines() {
            let case: Value = serde_json::from_str(line).expect("a case");
            let name = case["name"].as_str().expect("a name");
            let mut text = bytes(&case["b64"]);
            text.extend(bytes(&case["repeat_b64"]).repeat(case["times"].as_u64().unwrap_or(0) as usize));
            text.extend(bytes(&case["suffix_b64"]));
            // Whatever the suite has at the top stands under a name here.
            let read = Claims::read(&[b"{\"top\": ", &text[..], b"}"].concat());

            seen += 1;
            match &name[..2] {
                "y_" => assert_eq!(read.is_some(), !name.contains("duplicated_key"), "{name}"),
                "n_" => assert_eq!(read, None, "{name}"),
                _ => {}
            }
        }
        assert!(seen > 300, "{seen}");
    }

    #[test]
    fn numbers_keep_their_digits() {
        for digits in ["9007199254740993", "123456789012345678901234", "-0", "1.10", "1E+2", "0.1000000000000000055511151231257827"] {
            let claims = Claims::read(format!("{{\"n\": {digits}}}").as_bytes()).expect("an object");

            assert_eq!(claims.get("n").and_then(Claim::word), Some(digits));
        }
    }

    #[test]
    fn what_stands_for_itself_is_a_word() {
        let words = |value: Value| Claim::from(value).words().map(Cow::into_owned);

        assert_eq!(words(json!(["a", 1, true, ["b"]])).as_deref(), Some("a,1,true,b"));
        assert_eq!((words(json!(null)), words(json!({})), words(json!(["a", null]))), (None, None, None));
    }
}
