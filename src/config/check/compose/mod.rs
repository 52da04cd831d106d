//! `aggregate`: calls that can be made, one after the other where one needs another, and an answer that can be put together of theirs.

mod answer;
mod around;
mod each;
pub(crate) mod graphql;
mod json;
mod needs;
mod reading;
mod requests;
mod saga;
mod service;
mod shape;
#[cfg(test)]
mod tests;
mod trims;

use frontgate_filters::words::spanned::{Place, Spanned};

use self::reading::{Reading, Uses};
use super::{Report, is_name};
use crate::compose::reference::{Scope, taken};
use crate::config::model::{Aggregate, Call, Config, Route};
use crate::router::Pattern;

/// Checks the aggregates and the sagas of all routes.
pub(super) fn check(config: &Config, report: &mut Report<'_, '_>) {
    saga::check(config, report);
    trims::check(config, report);
    graphql::check(config, report);
    for route in &config.routes {
        for target in route.target.written() {
            if let crate::config::model::Target::Aggregate(aggregate) = target {
                self::aggregate(config, route, aggregate, report);
            }
        }
    }
}

/// What a check of one aggregate looks at.
struct Aggregated<'c> {
    route: &'c Route,
    aggregate: &'c Aggregate,
    /// The calls as they were read, in their order.
    calls: Vec<Reading<'c>>,
    /// What the answer refers to.
    answer: Uses<'c>,
}

impl<'c> Aggregated<'c> {
    fn name(&self, call: usize) -> &'c str {
        self.calls[call].name
    }

    /// Whether all of it could be read, so that what is not there is not there.
    fn is_sure(&self) -> bool {
        self.answer.sure && self.calls.iter().all(|call| call.uses.sure)
    }
}

fn aggregate(config: &Config, route: &Route, aggregate: &Spanned<Aggregate>, report: &mut Report<'_, '_>) {
    let path = Pattern::parse(&route.path).ok();
    let names: Vec<&str> = aggregate.calls().map(|(name, _)| name).collect();
    if names.is_empty() {
        report.lacking(
            aggregate.calls.place,
            "an aggregate makes at least one call: write `calls: {user: {upstream: users, get: \"/users/{id}\"}}`",
        );
    }
    limits(aggregate, names.len(), report);
    for (name, call) in aggregate.calls() {
        self::name(name, report.tree.key_of(call.place), path.as_ref(), report);
        self::call(at(call), report);
    }
    requests::given_back_twice(aggregate, report);
    around::check(config, route, aggregate.place, "an aggregate", report);
    // Without the route's path nobody knows its variables.
    let Some(path) = path else { return };
    let scope = Scope { path: &path, calls: &names, each: false, saga: false };
    let calls = aggregate.calls().map(|(name, call)| reading::call(name, at(call), scope, report)).collect();
    let answer = answer::read(aggregate, scope, report);
    let whole = Aggregated { route, aggregate, calls, answer };
    each::check(&whole, report);
    shape::hides(&whole, report);
    answer::check(&whole, report);
    needs::check(&whole, report);
    around::reads(config, &whole, report);
}

/// A call with its place.
fn at(call: &Spanned<Call>) -> Spanned<&Call> {
    Spanned { value: &call.value, place: call.place }
}

/// What is wrong with a call whatever the others are.
fn call(call: Spanned<&Call>, report: &mut Report<'_, '_>) {
    requests::check(call, report);
    service::check(call, report);
    shape::check(call.value, report);
    each::bounds(call, report);
    if let (Some(otherwise), true) = (&call.otherwise, call.is_optional()) {
        let optional = call.optional.as_ref().map_or(call.place, |optional| optional.place);
        let message = "a call has `otherwise` or is `optional`, not both: what fails is either replaced or left out";
        report.both(report.tree.key_of(optional), message, report.tree.key_of(otherwise.place), "it is replaced by this");
    }
    if call.timeout.as_ref().is_some_and(|timeout| timeout.0.is_zero()) {
        let place = call.timeout.as_ref().map_or(call.place, |timeout| timeout.place);
        report.error(place, "`timeout` of the call is 0: it would always fail");
    }
    if let Some(when) = &call.when
        && when.facts.is_empty()
    {
        report.lacking(when.place, "`when` is empty: leave it out for all requests");
    }
}

/// Whether the name of a call says nothing else where references are read.
fn name(name: &str, place: Place, path: Option<&Pattern>, report: &mut Report<'_, '_>) {
    if !is_name(name) {
        report.error(place, format!("`{name}` is not a valid name: use letters, digits, `-` and `_`"));
    } else if matches!(name, "body" | "each" | "args" | "parent" | "saga") {
        report.helped(place, format!("`{name}` means something else in references"), Some("give the call another name".to_owned()));
    } else if taken(name) {
        let message = format!("`{name}` is the name of a selector: `{{{name}}}` would be a fact of the request");
        report.helped(place, message, Some("give the call another name".to_owned()));
    } else if path.is_some_and(|path| path.position(name).is_some()) {
        let message = format!("`{name}` is a variable of the path: `{{{name}}}` would be a part of it");
        report.helped(place, message, Some("give the call or the variable another name".to_owned()));
    }
}

/// What one request may cost, and whether that is enough for one.
fn limits(aggregate: &Aggregate, calls: usize, report: &mut Report<'_, '_>) {
    let limits = aggregate.limits;
    let always = aggregate.calls().filter(|(_, call)| call.when.is_none() && call.each.is_none()).count();
    if limits.answer.0 == 0 {
        report.error(limits.answer.place, "`answer` is 0: every call would fail");
    } else if limits.total.0 < limits.answer.0 {
        let place = if limits.total.place == Place::default() { limits.answer.place } else { limits.total.place };
        let message =
            format!("all answers together (`total`, {}) may be no larger than one (`answer`, {})", limits.total.value, limits.answer.value);
        report.error(place, message);
    }
    if (limits.calls.value as usize) < always {
        let place = if limits.calls.place == Place::default() { aggregate.calls.place } else { limits.calls.place };
        report.error(place, format!("a request may make {} calls (`limits.calls`), and these are {calls}", limits.calls.value));
    }
}
