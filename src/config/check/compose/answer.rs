//! The answer of an aggregate: what it refers to, and members of one name.

use std::collections::BTreeSet;

use super::json::{self, Spread, Spreading};
use super::reading::Uses;
use super::{Aggregated, shape};
use crate::compose::reference::{Origin, Scope};
use crate::config::check::Report;
use crate::config::model::{Aggregate, Json};

/// Reads it.
pub(super) fn read<'c>(aggregate: &'c Aggregate, scope: Scope<'_>, report: &mut Report<'_, '_>) -> Uses<'c> {
    let mut uses = Uses::none();
    if let Some(answer) = &aggregate.answer {
        if answer.value == Json::Null {
            uses.sure = false;
            report.error(
                report.tree.key_of(answer.place),
                "`answer` has no value: leave it out for a member a call, or write what is answered",
            );
        }
        json::read(answer, scope, &mut uses, report);
    }
    uses
}

/// Whether members that are spread into one object have a name each, in bodies and in the answer.
pub(super) fn check(whole: &Aggregated<'_>, report: &mut Report<'_, '_>) {
    let uses = whole.calls.iter().map(|call| &call.uses).chain([&whole.answer]);
    for spreading in uses.flat_map(|uses| &uses.spreading) {
        for spread in &spreading.spreads {
            if let Origin::Call(call, place) = &spread.origin
                && place.steps().is_empty()
                && whole.calls[*call].call.each.is_some()
            {
                let message =
                    format!("`{}` is made for several values: its answers are a list, which has no members to spread", whole.name(*call));
                report.inside(spread.part.text, spread.part.range.clone(), message, None);
            }
        }
        collisions(whole, spreading, report);
    }
}

fn collisions(whole: &Aggregated<'_>, spreading: &Spreading<'_>, report: &mut Report<'_, '_>) {
    // What the object names itself goes before what is spread.
    let members = |spread: &Spread<'_>| {
        let members = match &spread.origin {
            Origin::Call(call, place) => shape::members(whole, *call, place),
            _ => None,
        };
        members.map(|names| names.into_iter().filter(|name| spreading.members.get(name).is_none()).collect::<BTreeSet<_>>())
    };
    for (index, later) in spreading.spreads.iter().enumerate().skip(1) {
        for earlier in &spreading.spreads[..index] {
            let (one, other) = (earlier.part.text.value, later.part.text.value);
            let message = match (members(earlier), members(later)) {
                _ if earlier.origin == later.origin => format!("`{other}` is spread twice"),
                (Some(first), Some(second)) => match first.intersection(&second).next() {
                    Some(name) => format!("`{one}` and `{other}` both have the member `{name}`"),
                    None => continue,
                },
                _ => format!("`{one}` and `{other}` are spread into one object, where their members may collide: give both a `keep`"),
            };
            let label = (report.part(earlier.part.text, earlier.part.range.clone()), "the first one");
            report.inside_with(later.part.text, later.part.range.clone(), message, vec![label]);
        }
    }
}
