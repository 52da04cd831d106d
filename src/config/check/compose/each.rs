//! `each`: a call for each of several values, in bounds, and where its results go.

use frontgate_filters::json::path::Segment;
use frontgate_filters::json::place::Step;
use frontgate_filters::words::spanned::{Place, Spanned};

use super::Aggregated;
use super::reading::Reading;
use crate::compose::reference::Origin;
use crate::config::check::Report;
use crate::config::model::{Call, Within};

/// The most values of an `each` that may be asked for.
const MOST: u32 = 10_000;
/// The most calls of an `each` at once.
const AT_ONCE: u32 = 256;
/// The most values in one call.
const TOGETHER: u32 = 1_000;

/// The keys that belong to `each`, and the numbers among them.
pub(super) fn bounds(call: Spanned<&Call>, report: &mut Report<'_, '_>) {
    let numbers = [("most", &call.most, MOST), ("concurrency", &call.concurrency, AT_ONCE), ("batch", &call.batch, TOGETHER)];
    for (key, number, most) in numbers {
        if let Some(number) = number.as_ref().filter(|number| !(1..=most).contains(&number.value)) {
            report.error(number.place, format!("`{key}` must be at least 1 and at most {most}"));
        }
    }
    let places = [
        ("most", call.most.as_ref().map(|value| value.place)),
        ("concurrency", call.concurrency.as_ref().map(|value| value.place)),
        ("batch", call.batch.as_ref().map(|value| value.place)),
        ("by", call.by.as_ref().map(|value| value.place)),
        ("many", call.many.as_ref().map(|value| value.place)),
        ("into", call.into.as_ref().map(|value| value.place)),
    ];
    let place = |wanted: &str| places.iter().find(|(key, _)| *key == wanted).and_then(|(_, place)| *place);
    if call.each.is_none() {
        for (key, place) in places.iter().filter_map(|(key, place)| Some((key, (*place)?))) {
            report.lacking(report.tree.key_of(place), format!("`{key}` belongs to `each`, which this call has not"));
        }
        return;
    }
    if let (Some(batch), None) = (place("batch"), place("by")) {
        let message = "`batch` needs `by`, which says where an element of the answer names its value";
        report.lacking(report.tree.key_of(batch), message);
    }
    for key in ["by", "many"] {
        if let (Some(place), None) = (place(key), place("batch")) {
            report
                .lacking(report.tree.key_of(place), format!("`{key}` belongs to `batch`: without it each value has an answer of its own"));
        }
    }
    if let (Some(batch), most) = (&call.batch, call.most())
        && batch.value > most
        && (1..=TOGETHER).contains(&batch.value)
    {
        report.warn(batch.place, format!("there are never {} values in one call: `most` is {most}", batch.value), None);
    }
}

/// What has to do with the other calls.
pub(super) fn check(whole: &Aggregated<'_>, report: &mut Report<'_, '_>) {
    for (index, call) in whole.calls.iter().enumerate() {
        let Some(each) = &call.call.each else { continue };
        if call.uses.sure && !call.uses.all.iter().any(|found| found.origin == Origin::Each) {
            let message =
                format!("`{}` is made for each of these, and `{{each}}` stands nowhere in it: all calls would be the same", call.name);
            report.helped(each.place, message, Some("write `{each}` where the value belongs".to_owned()));
        }
        many_calls(whole, call, each, report);
        if let Some(into) = &call.call.into {
            self::into(whole, index, each, into, report);
        }
    }
}

/// As many calls as there are values.
fn many_calls(whole: &Aggregated<'_>, call: &Reading<'_>, each: &Spanned<Within>, report: &mut Report<'_, '_>) {
    let (most, limit) = (call.call.most(), whole.aggregate.limits.calls);
    let calls = call.call.batch.as_ref().map_or(most, |batch| most.div_ceil(batch.value.max(1)));
    // A `batch` that could not be read is one all the same.
    if call.call.batch.is_none() && !report.tree.is_torn_at(each.place) {
        let message = format!("`{}` is one call for each value of `{}`, at most {most} for a request", call.name, each.written());
        report.warn(each.place, message, Some("write `batch` and `by` where the upstream takes several values at once".to_owned()));
    }
    if let Some(written) = call.call.most.as_ref().filter(|most| calls > limit.value && most.value <= MOST) {
        let message = format!("these may be {calls} calls, and a request may make {} (`limits.calls`)", limit.value);
        report.warn(written.place, message, None);
    }
}

/// Whether results can become members of what `each` went through, and no other call's results do.
fn into(whole: &Aggregated<'_>, index: usize, each: &Spanned<Within>, into: &Spanned<Within>, report: &mut Report<'_, '_>) {
    let (way, target) = (each.at.steps(), into.at.steps());
    let inner = target.split_last();
    let lies = inner.is_some_and(|(last, parent)| {
        matches!(last, Step::Segment(Segment::Name(_))) && into.call == each.call && parent.len() < way.len() && way.starts_with(parent)
    });
    if !lies {
        let around = each.written().rsplit_once('.').map_or(each.written(), |(around, _)| around);
        let message = format!("`into` must lie where `each` goes: `{around}`");
        let member = into.written().rsplit('.').next().unwrap_or_default();
        let help = way.len().checked_sub(1).map(|_| format!("write `{around}.{member}`"));
        report.helped(into.place, message, help);
        return;
    }
    let same = |other: &&Reading<'_>| other.call.into.as_ref().is_some_and(|other| other.value == into.value);
    if let Some(other) = whole.calls[..index].iter().find(same) {
        let first = other.call.into.as_ref().map_or(Place::default(), |into| into.place);
        report.both(
            into.place,
            format!("`{}` and `{}` would both become `{}`", other.name, whole.name(index), into.written()),
            first,
            "the first one",
        );
    }
}
