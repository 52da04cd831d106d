//! What of a request is not as it is expected.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use frontgate_filters::words::fields;
use frontgate_filters::words::spanned::{Place, Spanned};
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderName};
use serde_json::Value;

use super::model::{Decided, Expect, ExpectedCall, Field, Nullable, Sent};
use super::stage::{Seen, status_of};
use crate::proxy::offline::Played;

/// Something that is not as it is expected.
#[derive(Clone, Debug)]
pub(crate) struct Mismatch {
    /// What: `status`, `headers.Vary`, `json.items[0].price`.
    pub what: String,
    /// What was expected.
    pub expected: String,
    /// What there was.
    pub found: String,
    /// Where the expectation is written: `file:line`.
    pub place: String,
    at: Place,
}

impl Mismatch {
    /// With its place in words.
    pub(super) fn at(mut self, words: &impl Fn(Place) -> String) -> Self {
        self.place = words(self.at);
        self
    }
}

/// How many differences of one body are told.
const MOST: usize = 20;
/// How much of a text is told.
const LONG: usize = 400;

struct Judge<'h> {
    found: Vec<Mismatch>,
    /// Takes out of a text what is not told of the configuration.
    hide: &'h dyn Fn(&str) -> String,
}

/// That a request cannot be played, where it is written.
pub(super) fn unplayed(at: Place) -> Mismatch {
    let found = "a saga, which is not played here: there is no disk that would remember it";
    Mismatch {
        what: "request".to_owned(),
        expected: "a request that can be played".to_owned(),
        found: found.to_owned(),
        place: String::new(),
        at,
    }
}

/// What is not as it is expected. That something comes of a request is always expected. `hide` takes out of a text what is not told of the
/// configuration.
pub(super) fn judge(expect: Option<&Expect>, seen: &Seen, hide: &dyn Fn(&str) -> String) -> Vec<Mismatch> {
    let mut judge = Judge { found: Vec::new(), hide };
    match (&seen.played, expect) {
        (Err(why), _) => judge.tell("request", Place::default(), "a request", why),
        (Ok(played), Some(expect)) => judge.played(expect, played, seen),
        (Ok(_), None) => {}
    }
    judge.found
}

impl Judge<'_> {
    fn tell(&mut self, what: impl Into<String>, at: Place, expected: impl fmt::Display, found: impl fmt::Display) {
        let short = |text: String| match text.char_indices().nth(LONG) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        };
        let (expected, found) = (short(expected.to_string()), short((self.hide)(&found.to_string())));
        self.found.push(Mismatch { what: what.into(), expected, found, place: String::new(), at });
    }

    fn played(&mut self, expect: &Expect, played: &Played, seen: &Seen) {
        self.named("route", expect.route.as_ref(), played.route.as_deref());
        for (name, decided) in &expect.filters {
            self.filter(name, decided.value, decided.place, played);
        }
        let status = status_of(played).map(|status| status.as_u16());
        if let Some(expected) = expect.status
            && status != Some(expected.value)
        {
            self.tell("status", expected.place, expected.value, status.map_or_else(|| "no answer".to_owned(), |status| status.to_string()));
        }
        let whole = expect.whole.is_none_or(|whole| whole.value);
        if whole != played.whole && (expect.whole.is_some() || status.is_some()) {
            let words = |whole| if whole { "all of the answer" } else { "an answer that breaks off" };
            self.tell("whole", expect.whole.map(|whole| whole.place).unwrap_or_default(), words(whole), words(played.whole));
        }
        let none = HeaderMap::new();
        let headers = played.head.as_ref().map_or(&none, |head| &head.headers);
        self.headers("headers", &expect.headers, headers);
        self.headers("trailers", &expect.trailers, played.trailers.as_ref().unwrap_or(&none));
        let body = unpacked(headers, &played.body);
        if let Some(json) = &expect.json {
            self.json_body("json", json.place, &json.value, &body);
        }
        if let Some(text) = &expect.body
            && body.as_ref() != Ok(&Cow::Borrowed(text.as_bytes()))
        {
            self.tell("body", text.place, &text.value, text_of(&body));
        }
        if let Some(code) = &expect.code {
            let json = body.as_ref().ok().and_then(|body| serde_json::from_slice::<Value>(body).ok()).unwrap_or_default();
            let found = json["code"].as_str();
            if found != Some(code.as_str()) {
                self.tell("code", code.place, &code.value, found.unwrap_or("none"));
            }
        }
        let asked = played.asked.as_ref();
        self.named("upstream", expect.upstream.as_ref(), asked.map(|(upstream, _)| &**upstream));
        if let Some(endpoint) = &expect.endpoint {
            let found = asked.map(|(_, endpoint)| &**endpoint);
            if found != Some(endpoint.as_str()) {
                self.tell("endpoint", endpoint.place, &endpoint.value, found.unwrap_or("none"));
            }
        }
        if let Some(attempts) = expect.attempts
            && attempts.value != played.attempts
        {
            self.tell("attempts", attempts.place, attempts.value, played.attempts);
        }
        self.named("version", expect.version.as_ref(), played.version.as_deref());
        if let Some(sent) = &expect.sent {
            let last = asked.and_then(|(upstream, _)| seen.got.iter().rev().find(|got| got.upstream == *upstream));
            match last {
                None => self.tell("sent", sent.place, "a request to an upstream", "none was sent"),
                Some(got) => {
                    let times = seen.got.iter().filter(|other| other.upstream == got.upstream).count();
                    self.sent("sent", sent, got, times);
                }
            }
        }
        if let Some(missing) = &expect.missing {
            self.missing(missing, headers);
        }
        for (name, expected) in &expect.calls {
            self.call(name, expected, seen);
        }
    }

    /// The calls that are missing in an answer, as it says itself.
    fn missing(&mut self, expected: &Spanned<Vec<String>>, headers: &HeaderMap) {
        let said = headers.get("x-bff-missing").and_then(fields::text).unwrap_or_default();
        let found: Vec<&str> = said.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let is_composed = headers.contains_key("x-bff-complete");
        if !is_composed || found != expected.value {
            let found = if is_composed { format!("[{}]", found.join(", ")) } else { "an answer that is none of an aggregate".to_owned() };
            self.tell("missing", expected.place, format!("[{}]", expected.join(", ")), found);
        }
    }

    /// What is sent for a call.
    fn call(&mut self, name: &str, expected: &Spanned<ExpectedCall>, seen: &Seen) {
        let got: Vec<&super::upstream::Got> = seen.got.iter().filter(|got| got.call.as_deref() == Some(name)).collect();
        let what = format!("calls.{name}");
        match (&expected.value, got.last()) {
            (ExpectedCall::Times(times), _) if *times as usize == got.len() => {}
            (ExpectedCall::Times(times), _) => self.tell(what, expected.place, times, got.len()),
            (ExpectedCall::Sent(sent), None) if sent.times.is_some_and(|times| times.value == 0) => {}
            (ExpectedCall::Sent(_), None) => self.tell(what, expected.place, "a request to its upstream", "none was sent"),
            (ExpectedCall::Sent(sent), Some(last)) => self.sent(&what, sent, last, got.len()),
        }
    }

    fn named(&mut self, what: &str, expected: Option<&Nullable<String>>, found: Option<&str>) {
        let Some(expected) = expected else { return };
        let name = match expected {
            Nullable::Nothing => None,
            Nullable::Is(name) => Some(name.as_str()),
        };
        if name != found {
            self.tell(what, expected.place(), name.unwrap_or("none"), found.unwrap_or("none"));
        }
    }

    fn filter(&mut self, name: &str, expected: Decided, at: Place, played: &Played) {
        let decision = played.trace.filters.iter().find(|decision| decision.name == name);
        let found = match decision.map(|decision| decision.replies) {
            None => Decided::NotAsked,
            Some(None) => Decided::Passes,
            Some(Some(status)) => Decided::Status(status.as_u16()),
        };
        let fits = expected == found || expected == Decided::Answers && matches!(found, Decided::Status(_));
        if !fits {
            let reasons = decision.map(|decision| decision.reasons.join("; ")).filter(|reasons| !reasons.is_empty());
            let because = reasons.map(|reasons| format!(" ({reasons})")).unwrap_or_default();
            self.tell(format!("filters.{name}"), at, expected, format!("{found}{because}"));
        }
    }

    fn headers(&mut self, what: &str, expected: &std::collections::BTreeMap<String, Spanned<Field>>, found: &HeaderMap) {
        for (name, field) in expected {
            let lines: Vec<String> = match HeaderName::from_bytes(name.as_bytes()) {
                Ok(known) => found.get_all(known).iter().map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).collect(),
                Err(_) => Vec::new(),
            };
            let said = |lines: &[String]| match lines {
                [] => "none".to_owned(),
                [one] => one.clone(),
                several => format!("[{}]", several.join(" | ")),
            };
            let (fits, wanted) = match &field.value {
                Field::Absent => (lines.is_empty(), "none".to_owned()),
                Field::Any => (!lines.is_empty(), "any".to_owned()),
                Field::Lines(expected) => (*expected == lines, said(expected)),
            };
            if !fits {
                self.tell(format!("{what}.{name}"), field.place, wanted, said(&lines));
            }
        }
    }

    /// What of a request that an upstream was sent, the last of so many, is not as it is expected under this key.
    fn sent(&mut self, key: &str, sent: &Sent, got: &super::upstream::Got, times: usize) {
        if let Some(expected) = sent.times
            && expected.value as usize != times
        {
            self.tell(format!("{key}.times"), expected.place, expected.value, times);
        }
        for (what, expected, found) in [("method", &sent.method, &got.method), ("path", &sent.path, &got.target)] {
            if let Some(expected) = expected
                && expected.value != *found
            {
                self.tell(format!("{key}.{what}"), expected.place, &expected.value, found);
            }
        }
        self.headers(&format!("{key}.headers"), &sent.headers, &got.headers);
        let body = Ok(Cow::Borrowed(&got.body[..]));
        if let Some(json) = &sent.json {
            self.json_body(&format!("{key}.json"), json.place, &json.value, &body);
        }
        if let Some(text) = &sent.body
            && text.as_bytes() != got.body
        {
            self.tell(format!("{key}.body"), text.place, &text.value, text_of(&body));
        }
    }

    fn json_body(&mut self, what: &str, at: Place, expected: &Value, body: &Result<Cow<'_, [u8]>, String>) {
        let json = body
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|body| serde_json::from_slice::<Value>(body).map_err(|_| text_of(&Ok(body.clone()))));
        match json {
            Err(text) => self.tell(what, at, expected, text),
            Ok(found) => {
                let before = self.found.len();
                self.json(what, at, expected, &found, before);
            }
        }
    }

    fn json(&mut self, path: &str, at: Place, expected: &Value, found: &Value, before: usize) {
        if self.found.len() >= before + MOST || is_same(expected, found) {
            return;
        }
        match (expected, found) {
            (Value::Object(wanted), Value::Object(there)) => {
                for (key, value) in wanted {
                    let path = format!("{path}.{key}");
                    match there.get(key) {
                        Some(found) => self.json(&path, at, value, found, before),
                        None => self.tell(path, at, value, "nothing"),
                    }
                }
                for (key, value) in there.iter().filter(|(key, _)| !wanted.contains_key(*key)) {
                    self.tell(format!("{path}.{key}"), at, "nothing", value);
                }
            }
            (Value::Array(wanted), Value::Array(there)) => {
                for (index, (value, found)) in wanted.iter().zip(there).enumerate() {
                    self.json(&format!("{path}[{index}]"), at, value, found, before);
                }
                if wanted.len() != there.len() {
                    let count = |list: &[Value]| format!("{} entries", list.len());
                    self.tell(path, at, count(wanted), count(there));
                }
            }
            _ => self.tell(path, at, expected, found),
        }
    }
}

/// Whether both are the same; a number is, however it is written.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64() && one.as_f64().is_some(),
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len() && one.iter().all(|(key, value)| other.get(key).is_some_and(|known| is_same(value, known)))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        _ => one == other,
    }
}

fn text_of(body: &Result<Cow<'_, [u8]>, String>) -> String {
    match body {
        Ok(body) if body.is_empty() => "nothing".to_owned(),
        Ok(body) => String::from_utf8_lossy(body).into_owned(),
        Err(why) => why.clone(),
    }
}

/// A body as it is without its content coding.
fn unpacked<'b>(headers: &HeaderMap, body: &'b Bytes) -> Result<Cow<'b, [u8]>, String> {
    let coding = headers.get(CONTENT_ENCODING).map(|coding| String::from_utf8_lossy(coding.as_bytes()).to_ascii_lowercase());
    let Some(coding) = coding.filter(|_| !body.is_empty()) else { return Ok(Cow::Borrowed(body)) };
    match frontgate_filters::coding::unpacked(coding.as_bytes(), body) {
        None => Err(format!("a body in the content coding `{coding}`, which nobody here unpacks")),
        Some(Ok(plain)) => Ok(Cow::Owned(plain)),
        Some(Err(error)) => Err(format!("a body that is no {coding}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn differences(expected: Value, found: &str) -> Vec<(String, String, String)> {
        let mut judge = Judge { found: Vec::new(), hide: &str::to_owned };
        judge.json_body("json", Place::default(), &expected, &Ok(Cow::Borrowed(found.as_bytes())));
        judge.found.into_iter().map(|mismatch| (mismatch.what, mismatch.expected, mismatch.found)).collect()
    }

    #[test]
    fn a_body_is_compared_value_by_value_and_numbers_by_what_they_are() {
        let same = |expected: Value, found: &str| assert_eq!(differences(expected, found), []);
        same(json!({"a": 1, "b": [1.0, 2]}), r#"{"b": [1, 2.0], "a": 1.0}"#);
        same(json!(null), "null");

        let told = differences(json!({"a": {"b": [1, 2]}, "c": "x"}), r#"{"a": {"b": [1, 3]}, "d": true}"#);

        let told: Vec<[&str; 3]> = told.iter().map(|(what, expected, found)| [what.as_str(), expected, found]).collect();
        assert_eq!(told, [["json.a.b[1]", "2", "3"], ["json.c", "\"x\"", "nothing"], ["json.d", "nothing", "true"]]);
        assert_eq!(differences(json!({}), "no JSON"), [("json".to_owned(), "{}".to_owned(), "no JSON".to_owned())]);
        assert_eq!(differences(json!({}), "")[0].2, "nothing");
    }

    #[test]
    fn of_many_differences_some_are_told() {
        let told = differences(json!(vec![0; 1000]), &json!(vec![1; 1000]).to_string());

        assert_eq!(told.len(), MOST);
    }
}
