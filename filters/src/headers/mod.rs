//! `headers`: sets, adds and removes headers of requests on their way to the upstream, and of answers on their way to the client.
//!
//! ```yaml
//! tidy:
//!   headers:
//!     request: {set: {X-Env: prod}, remove: [X-Debug]}
//!     response: {set: {Strict-Transport-Security: max-age=31536000}, remove: [Server]}
//! ```
//!
//! First what is to be removed goes, then `set` puts a value in place of all of its name, then `add` puts one beside those that are there. On
//! requests `X_Env` is removed and replaced as `X-Env` is: some servers take one for the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_http::{RequestHeader, ResponseHeader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::filter::build::Build;
use crate::filter::options::Options;
use crate::filter::{Facts, Filter, Request, Verdict};
use crate::head;
use crate::words::reserved;
use crate::words::spanned::{Place, Problem, Spanned};

/// The options of `headers`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Changes to requests on their way to the upstream.
    pub request: Changes,
    /// Changes to every answer, whoever made it.
    pub response: Changes,
}

/// What is done to the headers of a message.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Changes {
    /// Headers that are removed.
    pub remove: Vec<Spanned<String>>,
    /// Headers that get this value, in place of all others of their name.
    pub set: BTreeMap<String, Spanned<String>>,
    /// Headers that get this value, beside others of their name.
    pub add: BTreeMap<String, Spanned<String>>,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    fn problems(&self, reserved: fn(&HeaderName) -> bool) -> Vec<Problem> {
        let mut problems = Vec::new();
        let removed = self.remove.iter().map(|name| (name.value.as_str(), name.place, None));
        let given = self.set.iter().chain(&self.add).map(|(name, value)| (name.as_str(), value.place, Some(value.value.as_str())));
        for (name, place, value) in removed.chain(given) {
            problems.extend(problems_of(name, value, place, reserved));
        }
        problems
    }

    fn compile(&self) -> Compiled {
        // Both were checked.
        let name = |text: &str| HeaderName::from_bytes(text.as_bytes()).ok();
        let pairs = |map: &BTreeMap<String, Spanned<String>>| {
            map.iter().filter_map(|(key, value)| Some((name(key)?, HeaderValue::from_str(value).ok()?))).collect()
        };
        Compiled { remove: self.remove.iter().filter_map(|text| name(text)).collect(), set: pairs(&self.set), add: pairs(&self.add) }
    }
}

/// What is wrong with the name of a header that is written at this place, and with the value that it is to have.
pub fn problems_of(name: &str, value: Option<&str>, place: Place, reserved: fn(&HeaderName) -> bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    match HeaderName::from_bytes(name.as_bytes()) {
        Err(_) => problems.push(Problem::at(place, format!("`{name}` is not a header name"))),
        Ok(parsed) if reserved(&parsed) => {
            let problem = Problem::at(place, format!("`{name}` is a header that the gateway itself sets"));
            problems.push(match parsed {
                HOST => problem.help("write what an upstream is sent as `host` in that upstream (`upstreams.NAME.host`)"),
                _ => problem,
            });
        }
        Ok(_) => {}
    }
    if value.is_some_and(|value| value.trim() != value || value.bytes().any(|byte| !(0x20..0x7f).contains(&byte))) {
        problems.push(Problem::at(place, "a header value must be printable ASCII, without a space at either end"));
    }
    problems
}

impl Options for Config {
    fn build(&self, with: &Build<'_>) -> Result<Arc<dyn Filter>, String> {
        with.kept_or(|| Ok(Headers::new(self)))
    }

    fn problems(&self) -> Vec<Problem> {
        [self.request.problems(reserved::on_requests), self.response.problems(reserved::on_answers)].concat()
    }

    fn does_nothing(&self) -> bool {
        self.request.is_empty() && self.response.is_empty()
    }
}

/// Changes with their names and values ready.
struct Compiled {
    remove: Box<[HeaderName]>,
    set: Box<[(HeaderName, HeaderValue)]>,
    add: Box<[(HeaderName, HeaderValue)]>,
}

impl Compiled {
    fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    fn change_answer(&self, map: &mut HeaderMap) {
        for name in &self.remove {
            map.remove(name);
        }
        for (name, value) in &self.set {
            map.insert(name.clone(), value.clone());
        }
        for (name, value) in &self.add {
            map.append(name.clone(), value.clone());
        }
    }

    fn change_request(&self, head: &mut RequestHeader) {
        for name in &self.remove {
            head.remove_header(name);
            remove_alike(head, name);
        }
        for (name, value) in &self.set {
            remove_alike(head, name);
            head.insert_header(name.clone(), value.clone()).expect("a name and a value that were checked");
        }
        for (name, value) in &self.add {
            head.append_header(name.clone(), value.clone()).expect("a name and a value that were checked");
        }
    }
}

/// Removes what some servers read as this header, too, though its name has other strokes: what a client is not to say, it does not say that way.
fn remove_alike(head: &mut RequestHeader, name: &HeaderName) {
    while let Some(other) = head.headers.keys().find(|other| *other != name && reserved::are_alike(other.as_str(), name.as_str())).cloned()
    {
        head.remove_header(&other);
    }
}

/// The compiled filter.
pub struct Headers {
    request: Compiled,
    response: Compiled,
    /// What `explain` says of it.
    told: String,
}

impl Headers {
    /// Compiles the options.
    pub fn new(config: &Config) -> Self {
        let mut told = Vec::new();
        for (what, changes) in [("the request", &config.request), ("the answer", &config.response)] {
            if changes.is_empty() {
                continue;
            }
            let words = [
                ("removes", changes.remove.iter().map(|name| name.value.as_str()).collect::<Vec<_>>()),
                ("sets", changes.set.keys().map(String::as_str).collect()),
                ("adds", changes.add.keys().map(String::as_str).collect()),
            ];
            let words = words.iter().filter(|(_, names)| !names.is_empty()).map(|(verb, names)| format!("{verb} {}", names.join(", ")));
            told.push(format!("on {what}: {}", words.collect::<Vec<_>>().join("; ")));
        }
        let told = if told.is_empty() { "changes nothing".to_owned() } else { told.join(", ") };
        Self { request: config.request.compile(), response: config.response.compile(), told }
    }
}

impl Filter for Headers {
    fn request<'a>(&'a self, request: &'a mut Request<'_>) -> Verdict<'a> {
        if !self.request.is_empty() {
            self.request.change_request(request.head);
        }
        request.because(|| self.told.clone());
        Verdict::Continue
    }

    fn answer(&self, head: &mut ResponseHeader, _: &Facts) {
        if !self.response.is_empty() {
            head::with_map(head, |map| self.response.change_answer(map));
        }
    }
}

#[cfg(test)]
mod tests;
