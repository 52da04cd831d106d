//! What of a call's answer counts: `at`, `keep`, `drop` and `rename`, and whether anybody needs what they hide.

use std::collections::BTreeSet;

use frontgate_filters::json::path::Segment;
use frontgate_filters::json::place::Step;
use frontgate_filters::json::{Path, Place, Plan, Policy};
use frontgate_filters::words::spanned::Spanned;

use super::Aggregated;
use super::reading::Part;
use crate::compose::reference::Origin;
use crate::config::check::Report;
use crate::config::model::{Call, JsonPath, Within};

/// Whether all of it can be done with one text.
pub(super) fn check(call: &Call, report: &mut Report<'_, '_>) {
    if let (Some(keep), Some(drop)) = (&call.keep, &call.drop) {
        report.both(
            report.tree.key_of(drop.place),
            "a call has `keep` or `drop`, not both",
            report.tree.key_of(keep.place),
            "this is kept",
        );
    }
    let mut policies = Vec::new();
    let lists = [(&call.keep, Policy::keep as fn(&[Path]) -> _), (&call.drop, Policy::drop)];
    for (list, compile) in lists.iter().filter_map(|(list, compile)| Some((list.as_ref()?, compile))) {
        if list.is_empty() {
            report.lacking(list.place, "the list is empty: name at least one member");
            continue;
        }
        match compile(&list.iter().map(|path| path.0.clone()).collect::<Vec<_>>()) {
            Ok(policy) => policies.push(policy),
            Err(why) => report.error(list.place, why.to_string()),
        }
    }
    let Some(rename) = &call.rename else { return };
    let mut renames: Vec<(Path, String)> = Vec::new();
    for (text, new) in rename.iter() {
        let place = report.tree.key_of(new.place);
        match text.parse::<JsonPath>() {
            Err(why) => report.error(place, why),
            Ok(JsonPath(path)) => {
                let taken = renames.iter().find(|(other, name)| *name == new.value && parent(other) == parent(&path));
                if let Some((other, _)) = taken {
                    report.error(new.place, format!("`{other}` and `{path}` would both become `{}`", new.value));
                } else if Plan::new(&nothing(), &[(path.clone(), new.value.clone())], &[]).is_err() {
                    report.error(place, format!("`{path}` ends with a star: all its members would get one name"));
                } else {
                    renames.push((path, new.value.clone()));
                }
            }
        }
    }
    for (path, new) in &renames {
        let is_it = |kept: &&Path| parent(kept) == parent(path) && kept.segments().last() == Some(&Segment::Name(new.clone()));
        let kept = call.keep.iter().flat_map(|keep| keep.iter()).map(|kept| &kept.0).find(is_it);
        if let Some(kept) = kept.filter(|kept| renames.iter().all(|(other, _)| other != *kept)) {
            report.error(rename.place, format!("`{path}` becomes `{new}`, to which `{kept}` gives way, which `keep` names"));
        }
    }
    let policy = policies.into_iter().next().unwrap_or_else(nothing);
    if let Err(why) = Plan::new(&policy, &renames, &[]) {
        report.error(report.tree.key_of(rename.place), why.to_string());
    }
}

/// What drops nothing.
fn nothing() -> Policy {
    Policy::drop(&[]).expect("no path is too many")
}

fn parent(path: &Path) -> &[Segment] {
    path.segments().split_last().map_or(&[], |(_, parent)| parent)
}

/// The new names of a call, by their paths, as far as those can be read.
fn renames(call: &Call) -> Vec<(Path, &str)> {
    let all = call.rename.iter().flat_map(|rename| rename.iter());
    all.filter_map(|(path, new)| Some((path.parse::<JsonPath>().ok()?.0, new.value.as_str()))).collect()
}

/// Whether a step of a path takes this name.
fn takes(segment: &Segment, name: &str) -> bool {
    match segment {
        Segment::Name(own) => own == name,
        Segment::Any | Segment::Deep => true,
    }
}

/// How a path and the names that lead to a place meet.
enum Meeting {
    /// The path leads past.
    Apart,
    /// It ends at the place, or before it.
    Around,
    /// It goes on behind the place.
    Beyond(Option<String>),
}

fn meeting(path: &[Segment], names: &[String]) -> Meeting {
    if path.contains(&Segment::Deep) {
        // It may end anywhere.
        return Meeting::Beyond(None);
    }
    for (index, segment) in path.iter().enumerate() {
        match names.get(index) {
            Some(name) if takes(segment, name) => {}
            Some(_) => return Meeting::Apart,
            None => {
                return Meeting::Beyond(match segment {
                    Segment::Name(name) => Some(name.clone()),
                    Segment::Any | Segment::Deep => None,
                });
            }
        }
    }
    Meeting::Around
}

/// The names that lead to a place, without the elements between them.
pub(super) fn names(place: &Place) -> Vec<String> {
    let name = |step: &Step| match step {
        Step::Segment(Segment::Name(name)) => Some(name.clone()),
        Step::Segment(Segment::Any | Segment::Deep) | Step::Element(_) => None,
    };
    place.steps().iter().filter_map(name).collect()
}

/// The names of a place in what the upstream says, before they are given new ones.
fn original(call: &Call, place: &[String]) -> Vec<String> {
    let renames = renames(call);
    let mut original: Vec<String> = Vec::new();
    for name in place {
        let renamed = renames.iter().find(|(path, new)| {
            let (parents, is_here) = (parent(path), name == new);
            is_here && parents.len() == original.len() && parents.iter().zip(&original).all(|(segment, name)| takes(segment, name))
        });
        original.push(match renamed.and_then(|(path, _)| path.segments().last()) {
            Some(Segment::Name(old)) => old.clone(),
            _ => name.clone(),
        });
    }
    original
}

/// The name that a member at this place gets, by the names of what the upstream says.
fn renamed<'c>(call: &'c Call, place: &[String]) -> Option<&'c str> {
    let all = renames(call);
    all.iter()
        .find(|(path, _)| matches!(meeting(path.segments(), place), Meeting::Around) && path.segments().len() == place.len())
        .map(|(_, new)| *new)
}

/// What hides a place of an answer.
enum Hidden<'c> {
    /// It is none of what is kept.
    Keep(&'c Spanned<Vec<Spanned<JsonPath>>>),
    /// It is removed.
    Drop(&'c Spanned<JsonPath>),
    /// It has another name.
    Renamed(&'c str),
}

/// Whether a place of what counts of an answer is certainly not there.
fn hidden<'c>(call: &'c Call, place: &[String]) -> Option<Hidden<'c>> {
    let names = original(call, place);
    if let Some(end) = (1..=place.len())
        .find(|end| names[..*end] == place[..*end] && renamed(call, &names[..*end]).is_some_and(|new| new != place[end - 1]))
    {
        return renamed(call, &names[..end]).map(Hidden::Renamed);
    }
    if let Some(keep) = &call.keep
        && keep.iter().all(|path| matches!(meeting(path.0.segments(), &names), Meeting::Apart))
    {
        return Some(Hidden::Keep(keep));
    }
    let dropped = call.drop.iter().flat_map(|drop| &drop.value);
    dropped.into_iter().find(|path| matches!(meeting(path.0.segments(), &names), Meeting::Around)).map(Hidden::Drop)
}

/// The members that an object at this place of an answer may have; nothing where nobody knows.
pub(super) fn members(whole: &Aggregated<'_>, call: usize, place: &Place) -> Option<BTreeSet<String>> {
    let (written, place) = (&whole.calls[call].call.value, names(place));
    let names = original(written, &place);
    let mut members = BTreeSet::new();
    for path in &written.keep.as_ref()?.value {
        match meeting(path.0.segments(), &names) {
            Meeting::Apart => {}
            Meeting::Around | Meeting::Beyond(None) => return None,
            Meeting::Beyond(Some(name)) => {
                let member: Vec<String> = names.iter().chain([&name]).cloned().collect();
                members.insert(renamed(written, &member).map_or(name, str::to_owned));
            }
        }
    }
    for into in whole.calls.iter().filter_map(|call| call.call.into.as_ref()).filter(|into| into.call == whole.name(call)) {
        let path = self::names(&into.at);
        if let Some((last, parent)) = path.split_last()
            && *parent == place
        {
            members.insert(last.clone());
        }
    }
    Some(members)
}

/// What is needed of an answer, and is not there.
pub(super) fn hides(whole: &Aggregated<'_>, report: &mut Report<'_, '_>) {
    let by_calls = whole.calls.iter().flat_map(|call| call.uses.all.iter().map(move |found| (format!("`{}`", call.name), found)));
    let by_answer = whole.answer.all.iter().map(|found| ("the answer".to_owned(), found));
    for (who, found) in by_calls.chain(by_answer) {
        if let Origin::Call(index, place) = &found.origin {
            needs(whole, *index, &names(place), &who, &found.part, report);
        }
    }
    for call in &whole.calls {
        if let (Some(by), Some(_)) = (&call.call.by, &call.call.batch) {
            let text = by.to_string();
            let part = Part { text: Spanned { value: &text, place: by.place }, range: 0..0 };
            tell(call.name, call.call.value, &names(&by.0), "`by`", &part, report);
        }
        if let (Some(into), Some(each)) = (&call.call.into, call.each) {
            let path = names(&into.at);
            let part = Part { text: Spanned { value: into.written(), place: into.place }, range: 0..0 };
            needs(whole, each, path.split_last().map_or(&[], |(_, parent)| parent), "`into`", &part, report);
        }
    }
}

fn needs(whole: &Aggregated<'_>, call: usize, place: &[String], who: &str, part: &Part<'_>, report: &mut Report<'_, '_>) {
    let name = whole.name(call);
    // What another call puts there is there, whatever the call's own answer has.
    let is_put = |into: &Within| into.call == name && !into.at.steps().is_empty() && place.starts_with(&names(&into.at));
    if whole.calls.iter().filter_map(|call| call.call.into.as_ref()).any(|into| is_put(into)) {
        return;
    }
    tell(name, whole.calls[call].call.value, place, who, part, report);
}

fn tell(name: &str, call: &Call, place: &[String], who: &str, part: &Part<'_>, report: &mut Report<'_, '_>) {
    let shown = place.join(".");
    let (message, label) = match hidden(call, place) {
        None => return,
        Some(Hidden::Keep(keep)) => {
            (format!("`keep` of `{name}` hides `{shown}`, which {who} needs"), Some((report.at(keep.place), "this alone is kept")))
        }
        Some(Hidden::Drop(path)) => {
            (format!("`drop` of `{name}` removes `{shown}`, which {who} needs"), Some((report.at(path.place), "this is removed")))
        }
        Some(Hidden::Renamed(new)) => (format!("`{shown}` of `{name}` is called `{new}` there, by `rename`"), None),
    };
    report.inside_with(part.text, part.range.clone(), message, label.into_iter().collect());
}
