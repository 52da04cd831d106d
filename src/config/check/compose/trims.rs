//! What is trimmed of the answers of aggregates: of those the members are known, and one that is never there is a slip.

use std::collections::BTreeSet;

use frontgate_filters::json::path::Segment;
use frontgate_filters::registry::FilterConfig;
use frontgate_filters::trim::{Config as Trim, Member, Otherwise, Profile};
use frontgate_filters::words::spanned::{Place, Spanned};

use super::json::SPREAD;
use crate::config::check::Report;
use crate::config::check::filters::resolved;
use crate::config::model::{Config, Json, Route, Target};
use crate::nearest::nearest;

/// Looks at every filter that trims nothing but aggregates of which all members are known.
pub(super) fn check(config: &Config, report: &mut Report<'_, '_>) {
    if report.tree.torn {
        return;
    }
    // Each trim once, by the address of what is written, with the members of all routes that it is used on.
    let mut trims: Vec<(&Trim, Option<BTreeSet<&str>>)> = Vec::new();
    for route in &config.routes {
        let members = members(route);
        let used = resolved(config, &config.server.filters).chain(resolved(config, &route.filters));
        for trim in used.filter_map(|(_, entry)| match &entry?.config {
            FilterConfig::Trim(trim) => Some(&**trim),
            _ => None,
        }) {
            match trims.iter_mut().find(|(known, _)| std::ptr::eq(*known, trim)) {
                Some((_, all)) => *all = all.take().zip(members.clone()).map(|(all, more)| all.union(&more).copied().collect()),
                None => trims.push((trim, members.clone())),
            }
        }
    }
    for (trim, members) in trims {
        for path in members.iter().flat_map(|_| paths(trim)) {
            let (Some(Segment::Name(name)), Some(members)) = (path.path.segments().first(), &members) else { continue };
            if !members.contains(name.as_str()) {
                let help = nearest(name, members.iter().copied()).map(|near| format!("did you mean `{near}`?"));
                report.warn(path.place, format!("`{name}` is no member of what is trimmed: this path leads nowhere"), help);
            }
        }
    }
}

/// The paths of all profiles.
fn paths(trim: &Trim) -> impl Iterator<Item = &Spanned<Member>> {
    let profiles = trim.profiles.values().map(|profile| match &profile.value {
        Profile::Drop(members) | Profile::Keep(members) => &members[..],
    });
    let otherwise = match &trim.otherwise.value {
        Otherwise::Pass => &[][..],
        Otherwise::Drop(members) | Otherwise::Keep(members) => members,
    };
    profiles.chain([otherwise]).flatten().filter(|path| path.place != Place::default())
}

/// The members of what a route answers; nothing where nobody knows.
fn members(route: &Route) -> Option<BTreeSet<&str>> {
    let [Target::Aggregate(aggregate)] = route.target.written() else { return None };
    match aggregate.answer.as_ref().map(|answer| &answer.value) {
        None => Some(aggregate.calls().filter(|(_, call)| call.into.is_none()).map(|(name, _)| name).collect()),
        Some(Json::Object(members)) => members.get(SPREAD).is_none().then(|| members.iter().map(|(name, _)| name).collect()),
        Some(_) => None,
    }
}
