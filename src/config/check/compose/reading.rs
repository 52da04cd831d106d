//! What a call refers to, with the place of each reference.

use std::ops::Range;

use frontgate_filters::words::matching::{Fact, Match};
use frontgate_filters::words::spanned::{Place, Spanned};

use super::json::{self, Spreading};
use super::requests;
use crate::compose::reference::{Origin, Reference, Scope, Text, Wrong};
use crate::config::check::Report;
use crate::config::model::{Call, Verb, foreign};

/// A call, and what it refers to.
pub(super) struct Reading<'c> {
    /// Its name.
    pub name: &'c str,
    /// Where its name is written.
    pub key: Place,
    /// What is written.
    pub call: Spanned<&'c Call>,
    /// What it refers to.
    pub uses: Uses<'c>,
    /// The facts of the request that it is made for.
    pub when: Match,
    /// The call in whose answer the values of its `each` are, by its number.
    pub each: Option<usize>,
}

/// References that lead somewhere.
pub(super) struct Uses<'c> {
    /// All of them, in their order.
    pub all: Vec<Use<'c>>,
    /// The objects that members of others are spread into.
    pub spreading: Vec<Spreading<'c>>,
    /// Whether there are no others, which lead nowhere.
    pub sure: bool,
    /// The name of the call that they stand in.
    own: Option<&'c str>,
}

/// A reference that leads somewhere.
pub(super) struct Use<'c> {
    /// Where it stands.
    pub part: Part<'c>,
    /// As it is written without its braces.
    pub written: String,
    /// What it stands for.
    pub origin: Origin,
    /// Whether something stands in for it where it finds nothing.
    pub has_default: bool,
}

/// A part of a text, by its bytes.
#[derive(Clone)]
pub(super) struct Part<'c> {
    /// The text.
    pub text: Spanned<&'c str>,
    /// The bytes.
    pub range: Range<usize>,
}

impl<'c> Uses<'c> {
    /// None, and there are no others.
    pub(super) fn none() -> Self {
        Self { all: Vec::new(), spreading: Vec::new(), sure: true, own: None }
    }

    /// Reads a text, and what it refers to; nothing where it cannot be read.
    pub(super) fn text(&mut self, text: Spanned<&'c str>, scope: Scope<'_>, report: &mut Report<'_, '_>) -> Option<Text> {
        match Text::parse(text.value) {
            Ok(read) => {
                doubled(text, report);
                read.references().for_each(|reference| self.reference(text, reference, scope, report));
                Some(read)
            }
            Err(wrong) => {
                self.wrong(text, &wrong, report);
                None
            }
        }
    }

    /// Reads a text that is a reference without braces. What it stands for.
    pub(super) fn bare(&mut self, text: Spanned<&'c str>, scope: Scope<'_>, report: &mut Report<'_, '_>) -> Option<&Origin> {
        match Reference::bare(text.value) {
            Ok(reference) => {
                let before = self.all.len();
                self.reference(text, &reference, scope, report);
                self.all.get(before).map(|found| &found.origin)
            }
            Err(wrong) => {
                self.wrong(text, &wrong, report);
                None
            }
        }
    }

    fn reference(&mut self, text: Spanned<&'c str>, reference: &Reference, scope: Scope<'_>, report: &mut Report<'_, '_>) {
        match scope.resolve(reference) {
            Ok(Origin::Call(..) | Origin::Body(_)) if reference.rest.as_deref().and_then(foreign).is_some() => {
                self.sure = false;
                let meant = reference.rest.as_deref().and_then(foreign).unwrap_or_default();
                let message = format!("`{reference}` is not a path here: a number is one element of a list");
                report.inside(text, reference.range.clone(), message, Some(format!("write `{}.{meant}`", reference.head)));
            }
            Ok(origin) => {
                let has_default = reference.default.is_some();
                let part = Part { text, range: reference.range.clone() };
                self.all.push(Use { part, written: reference.to_string(), origin, has_default });
            }
            // What is wrong with that one has been said.
            Err(_) if report.tree.has_left_out(text.place, &reference.head) => self.sure = false,
            Err(wrong) => {
                self.sure = false;
                // The whole reference is what is wrong, unless it is a part of it.
                let starts = wrong.at == reference.name_at;
                let range =
                    if starts { reference.name_at..reference.name_at + reference.to_string().len() } else { one(text.value, wrong.at) };
                tell(text, range, &self.not_itself(wrong), report);
            }
        }
    }

    /// Without the advice to refer to the call that this stands in.
    fn not_itself(&self, wrong: Wrong) -> Wrong {
        match wrong.message.strip_suffix("`?").and_then(|told| told.rsplit_once(": did you mean `")) {
            Some((message, meant)) if Some(meant) == self.own => Wrong { message: message.to_owned(), ..wrong },
            _ => wrong,
        }
    }

    fn wrong(&mut self, text: Spanned<&'c str>, wrong: &Wrong, report: &mut Report<'_, '_>) {
        self.sure = false;
        tell(text, one(text.value, wrong.at), wrong, report);
    }
}

/// Says what is wrong, and what was probably meant beside it.
fn tell(text: Spanned<&str>, range: Range<usize>, wrong: &Wrong, report: &mut Report<'_, '_>) {
    let (message, help) = match wrong.message.split_once(": did you mean ") {
        Some((message, meant)) => (message, Some(format!("did you mean {meant}"))),
        None => (wrong.message.as_str(), None),
    };
    report.inside(text, range, message, help);
}

/// The character at a byte.
fn one(text: &str, at: usize) -> Range<usize> {
    let length = text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    at..at + length
}

/// Two braces where one is meant, as other programs write it.
fn doubled(text: Spanned<&str>, report: &mut Report<'_, '_>) {
    let Some(open) = text.find("{{") else { return };
    let Some(close) = text[open..].find("}}").map(|close| open + close) else { return };
    let inner = text[open + 2..close].trim();
    if !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
        let message = format!("`{}` is no reference: two braces are the text of one", &text[open..close + 2]);
        report.doubt_inside(text, open..close + 2, message, Some(format!("write `{{{inner}}}`")));
    }
}

/// Reads a call. `scope` is what there is for all of them.
pub(super) fn call<'c>(name: &'c str, written: Spanned<&'c Call>, scope: Scope<'_>, report: &mut Report<'_, '_>) -> Reading<'c> {
    let call = written.value;
    let mut uses = Uses { own: Some(name), ..Uses::none() };
    let own = Scope { each: call.each.is_some(), ..scope };
    for (_, target) in &call.requests {
        requests::target(target, own, &mut uses, report);
    }
    for value in call.headers.values() {
        requests::header(value, own, &mut uses, report);
    }
    if let Some(body) = call.body.as_ref().filter(|_| !call.requests.iter().all(|(verb, _)| *verb == Verb::Get)) {
        json::read(body, own, &mut uses, report);
    }
    for value in call.variables.iter().flat_map(|variables| variables.iter().map(|(_, value)| value)) {
        json::read(value, own, &mut uses, report);
    }
    let mut facts = Vec::new();
    for fact in call.when.iter().flat_map(|when| &when.facts) {
        let place = report.tree.key_of(fact.wanted.place);
        if let Some(Origin::Selector(selector)) = uses.bare(Spanned { value: &fact.of, place }, scope, report) {
            facts.push(Fact { selector: selector.clone(), wanted: fact.wanted.clone() });
        }
    }
    let when = Match { facts };
    report.problems(when.problems());
    let mut each = None;
    if let Some(within) = &call.each {
        let written = within.written();
        let text = Spanned { value: written, place: within.place };
        match uses.bare(text, scope, report) {
            Some(Origin::Call(index, _)) => each = Some(*index),
            Some(_) => {
                uses.sure = false;
                let help = "name a call and a place in its answer, as in `cart.items.product_id`".to_owned();
                report.helped(within.place, format!("`each` goes through the answer of another call, and `{written}` is none"), Some(help));
            }
            None => {}
        }
    }
    Reading { name, key: report.tree.key_of(written.place), call: written, uses, when, each }
}
