//! What references in a field's call became, and where their values are found.

use std::borrow::Cow;

use frontgate_filters::filter::Facts;
use frontgate_filters::json::Proved;
use frontgate_filters::json::path::Segment;
use frontgate_filters::json::place::Step;
use frontgate_filters::words::claims::Claim;
use frontgate_filters::words::selector::Selector;
use pingora_http::RequestHeader;

use super::documents::{Data, Documents};
use super::input::{Input, Members};
use crate::compose::reference::Variable;
use crate::compose::template;
use crate::compose::values::{self, Value, Values};

/// The way to a value.
pub(super) type Steps = Box<[Step]>;

/// Where a value is found.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// In the request's path.
    Variable(Variable),
    /// Among the request's facts.
    Selector(Selector),
    /// The whole query.
    Query,
    /// Among the field's arguments.
    Arguments(Steps),
    /// In the JSON of the object that the field belongs to.
    Parent(Steps),
    /// The value that the call is made for, or several.
    Each,
}

impl template::Source for Source {
    fn is_query(&self) -> bool {
        matches!(self, Self::Query)
    }
}

/// The arguments of a field, coerced.
pub(super) type Arguments = Members;

/// What is known where a call is made.
pub(super) struct Known<'k> {
    pub(super) head: &'k RequestHeader,
    pub(super) facts: &'k Facts,
    pub(super) documents: &'k Documents,
    pub(super) arguments: &'k Arguments,
    /// The object that the field belongs to.
    pub(super) parent: Option<super::documents::Span>,
    pub(super) each: Option<&'k Value<'static>>,
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
            Source::Arguments(steps) => argument(self.arguments, steps),
            Source::Parent(steps) => match self.documents.find(self.parent?, steps) {
                Data::One(span) => self.documents.proved(span).map(Value::Json),
                Data::Many(spans) => Some(Value::List(spans.into_iter().filter_map(|span| self.documents.proved(span)).collect())),
                Data::Nothing => None,
            },
            Source::Each => self.each.cloned(),
        }
    }
}

/// A value among arguments: as in documents, lists are entered by themselves.
pub(super) fn argument(arguments: &Arguments, steps: &[Step]) -> Option<Value<'static>> {
    let Some((Step::Segment(Segment::Name(name)), rest)) = steps.split_first() else {
        return Input::Object(arguments.clone()).proved().map(Value::Json);
    };
    let (mut all, mut is_list) = (Vec::new(), false);
    walk(arguments.get(name.as_str())?, rest, &mut is_list, &mut all);
    match is_list {
        true => Some(Value::List(all)),
        false => all.pop().map(Value::Json),
    }
}

fn walk(value: &Input, steps: &[Step], is_list: &mut bool, all: &mut Vec<Proved>) {
    match (steps.split_first(), value) {
        (None, value) => all.extend(value.proved()),
        (Some((Step::Element(element), rest)), Input::List(elements)) => {
            elements.get(*element as usize).into_iter().for_each(|element| walk(element, rest, is_list, all));
        }
        (Some(_), Input::List(elements)) => {
            *is_list = true;
            elements.iter().for_each(|element| walk(element, steps, is_list, all));
        }
        (Some((Step::Segment(Segment::Name(name)), rest)), Input::Object(members)) => {
            members.get(name.as_str()).into_iter().for_each(|member| walk(member, rest, is_list, all));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use frontgate_filters::json::Place;

    #[test]
    fn arguments_are_found_by_places_as_values_in_answers_are() {
        let arguments = br#"{"a": {"b": [{"c": 1}, {"c": null}, 5]}, "n": null, "l": [[1], [2, 3]]}"#;
        let Some(Input::Object(arguments)) = Input::read(arguments) else { panic!("an object") };
        let found = |place: &str| {
            let place: Place = place.parse().expect("a place");
            match argument(&arguments, place.steps()) {
                None => "nothing".to_owned(),
                Some(value) => String::from_utf8(value.into_json().expect("JSON").into_bytes().to_vec()).expect("text"),
            }
        };

        assert_eq!(found("a.b.c"), "[1,null]");
        assert_eq!(found("a.b.0.c"), "1");
        assert_eq!(found("n"), "null");
        assert_eq!(found("l"), "[[1],[2,3]]");
        assert_eq!(found("l.1"), "[2,3]");
        assert_eq!(found("x"), "nothing");
        assert_eq!(found("a.x"), "nothing");
    }
}
