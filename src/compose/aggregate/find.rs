//! Where references find their values: in the request, and in what calls came to.

use std::borrow::Cow;

use frontgate_filters::filter::Facts;
use frontgate_filters::json::{Document, Found, Proved};
use frontgate_filters::words::claims::Claim;
use frontgate_filters::words::selector::Selector;
use pingora_http::RequestHeader;

use super::render::Rendering;
use super::results::{Answers, Element, Entry, One, Outcome, marked};
use super::source::{Source, Spot};
use super::{Aggregate, Condition};
use crate::compose::values::{self, Value, Values};

/// What is known of a request and of the calls that have ended.
#[derive(Clone, Copy)]
pub(super) struct Known<'k> {
    pub(super) aggregate: &'k Aggregate,
    pub(super) head: &'k RequestHeader,
    pub(super) facts: &'k Facts,
    pub(super) body: Option<&'k Document>,
    pub(super) outcomes: &'k [Outcome],
    /// What the call is made for.
    pub(super) each: Option<&'k Value<'static>>,
    /// What puts members into answers, once all calls have ended.
    pub(super) rendering: Option<&'k Rendering>,
}

impl Values<Source> for Known<'_> {
    fn find(&self, source: &Source) -> Option<Value<'_>> {
        match source {
            Source::Variable(variable) => {
                let text = variable.find(self.head.uri.path());
                Some(Value::Text(percent_encoding::percent_decode_str(text).into()))
            }
            Source::Selector(Selector::Claim(path)) => match path.find(&self.facts.identity.as_ref()?.claims)? {
                Claim::Text(text) => Some(Value::Text(Cow::Borrowed(text.as_bytes()))),
                other => values::claim(other).map(Value::Json),
            },
            Source::Selector(selector) => selector.find(self.head, self.facts).map(Value::Text),
            Source::Query => self.head.uri.query().map(|query| Value::Text(Cow::Borrowed(query.as_bytes()))),
            Source::Body(spot) => self.in_document(self.body?, spot, 0, None),
            Source::Call(call, spot) => match &self.outcomes[*call] {
                Outcome::One(one) => self.in_one(*call, one, spot),
                Outcome::Each(answers) => Some(Value::List(self.in_each(*call, answers, spot))),
                Outcome::Pending | Outcome::Skipped | Outcome::Failed => None,
            },
            Source::Each => self.each.cloned(),
        }
    }
}

impl Known<'_> {
    /// Whether a call is to be made.
    pub(super) fn holds(&self, condition: &Condition) -> bool {
        condition.facts.holds(self.head, self.facts)
            && condition.values.iter().all(|(source, wanted)| {
                let Some(value) = self.find(source) else { return false };
                let mut holds = false;
                let texts = value.texts(&mut |text| {
                    holds |= wanted.as_ref().is_none_or(|wanted| wanted.iter().any(|wanted| wanted.as_bytes() == text));
                });
                // An object is something, too.
                holds || texts.is_err() && wanted.is_none() && !value.is_null()
            })
    }

    /// The part of an answer that counts.
    pub(super) fn part(&self, call: usize, one: &One) -> Value<'static> {
        let whole = |document| Value::Json(self.cut(call, document, None));
        let Some(at) = self.aggregate.calls[call].at.filter(|_| !one.stands_in) else { return whole(&one.document) };
        let found: Vec<&Found> = one.document.marked(at.mark).collect();
        match &found[..] {
            [] => Value::Json(Proved::null()),
            [first, ..] if one.document.depth(first) > at.picked => {
                Value::List(found.iter().map(|found| self.cut(call, &one.document, Some(found))).collect())
            }
            // Of members of one name the last one counts, as for most readers.
            [.., last] => Value::Json(self.cut(call, &one.document, Some(last))),
        }
    }

    fn in_one(&self, call: usize, one: &One, spot: &Spot) -> Option<Value<'static>> {
        if spot.mark.is_none() {
            return Some(self.part(call, one));
        }
        let picked = self.aggregate.calls[call].at.filter(|_| !one.stands_in).map_or(0, |at| at.picked);
        self.in_document(&one.document, spot, picked, Some((call, one)))
    }

    /// A value, a list of those where the way led through arrays, or nothing.
    fn in_document(&self, document: &Document, spot: &Spot, picked: usize, of: Option<(usize, &One)>) -> Option<Value<'static>> {
        let cut = |found: &Found| match of {
            Some((call, _)) => self.cut(call, document, Some(found)),
            None => document.get(found),
        };
        let Some(mark) = spot.mark else { return Some(Value::Json(document.whole())) };
        let found: Vec<&Found> = document.marked(mark).collect();
        match &found[..] {
            [] => {
                let whole = match of {
                    Some((call, one)) => Self { rendering: None, ..*self }.part(call, one),
                    None => Value::Json(document.whole()),
                };
                leads_through_arrays(spot, whole).then(|| Value::List(Vec::new()))
            }
            [first, ..] if document.depth(first) > picked + spot.picked => Some(Value::List(found.into_iter().map(cut).collect())),
            [.., last] => Some(Value::Json(cut(last))),
        }
    }

    /// What is there of the answers for all values.
    fn in_each(&self, call: usize, answers: &Answers, spot: &Spot) -> Vec<Proved> {
        let Some(mark) = spot.mark else {
            return answers.entries.iter().filter_map(|entry| self.entry(call, answers, entry)).collect();
        };
        let mut all = Vec::new();
        let mut add = |element: &Element| {
            let document = &answers.documents[element.document];
            let range = element.found.map(|found| found.range());
            all.extend(marked(document, mark, range).map(|found| self.cut(call, document, Some(found))));
        };
        for entry in &answers.entries {
            match entry {
                Entry::Nothing => {}
                Entry::One(element) => add(element),
                Entry::Many(elements) => elements.iter().for_each(&mut add),
                Entry::Failed => {}
            }
        }
        all
    }

    /// What was found for one value, as it goes on.
    pub(super) fn entry(&self, call: usize, answers: &Answers, entry: &Entry) -> Option<Proved> {
        let element = |element: &Element| {
            let document = &answers.documents[element.document];
            match &element.found {
                Some(found) => Some(self.cut(call, document, Some(found))),
                None => self.part(call, &One { document: document.clone(), stands_in: false }).into_json(),
            }
        };
        match entry {
            Entry::Nothing => None,
            Entry::Failed => self.aggregate.calls[call].otherwise.as_ref().map(|document| document.whole()),
            Entry::One(one) => element(one),
            Entry::Many(many) => Some(Proved::list(&many.iter().filter_map(element).collect::<Vec<_>>())),
        }
    }

    /// A value of an answer of this call, with the members that others put into it once all have ended.
    fn cut(&self, call: usize, document: &Document, found: Option<&Found>) -> Proved {
        match self.rendering.filter(|_| !self.aggregate.calls[call].gets.is_empty()) {
            Some(rendering) => {
                let range = found.map_or_else(|| document.range(), Found::range);
                rendering.changed(self, call, document, range)
            }
            None => found.map_or_else(|| document.whole(), |found| document.get(found)),
        }
    }
}

/// Whether there is an array on the way to where nothing was found, so that the value is an empty list.
fn leads_through_arrays(spot: &Spot, whole: Value<'_>) -> bool {
    let whole = match whole {
        Value::List(_) => return true,
        Value::Json(whole) => whole,
        Value::Text(_) => return false,
    };
    let Some(way) = &spot.way else { return false };
    let is_array = |document: Document| document.found().iter().any(|found| document.get(found).first() == b'[');
    values::read(way, whole.to_bytes()).is_some_and(is_array)
}
