//! JSON with references: a body that is sent, or the answer.

use frontgate_filters::words::spanned::Spanned;

use super::reading::{Part, Uses};
use crate::compose::reference::{Origin, Scope};
use crate::config::check::Report;
use crate::config::model::{Json, Ordered};

/// The key whose value names what is spread.
pub(super) const SPREAD: &str = "...";

/// An object that members of others are spread into.
pub(super) struct Spreading<'c> {
    /// What it names itself.
    pub members: &'c Ordered<Spanned<Json>>,
    /// What is spread.
    pub spreads: Vec<Spread<'c>>,
}

/// Something that is spread.
pub(super) struct Spread<'c> {
    /// Where it is named.
    pub part: Part<'c>,
    /// What it is.
    pub origin: Origin,
}

/// Reads a value; `uses` gets what it refers to.
pub(super) fn read<'c>(whole: &'c Spanned<Json>, scope: Scope<'_>, uses: &mut Uses<'c>, report: &mut Report<'_, '_>) {
    value(whole, false, scope, uses, report);
}

fn value<'c>(json: &'c Spanned<Json>, in_list: bool, scope: Scope<'_>, uses: &mut Uses<'c>, report: &mut Report<'_, '_>) {
    match &json.value {
        Json::Text(text) => self::text(Spanned { value: text, place: json.place }, in_list, scope, uses, report),
        Json::List(items) => items.iter().for_each(|item| value(item, true, scope, uses, report)),
        Json::Object(members) => {
            for (key, member) in members.iter() {
                if key == SPREAD {
                    let spreads = spread(member, scope, uses, report);
                    uses.spreading.push(Spreading { members, spreads });
                } else {
                    name(key, member, report);
                    value(member, false, scope, uses, report);
                }
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

fn text<'c>(text: Spanned<&'c str>, in_list: bool, scope: Scope<'_>, uses: &mut Uses<'c>, report: &mut Report<'_, '_>) {
    let Some(read) = uses.text(text, scope, report) else { return };
    let alone = read.only().is_some();
    for reference in read.references().filter(|reference| reference.spread) {
        let (message, help) = match (in_list, alone) {
            (true, true) => continue,
            (true, false) => ("`...` spreads elements into a list: it stands alone in its text", None),
            (false, _) => (
                "`...` in braces spreads elements into a list, and this is no list",
                Some(format!("write `[\"{{...{reference}}}\"]`; the key `...` spreads the members of an object")),
            ),
        };
        report.inside(text, reference.range.clone(), message, help);
    }
}

/// A name is what it is.
fn name(key: &str, member: &Spanned<Json>, report: &mut Report<'_, '_>) {
    if key.contains('{') && key.contains('}') {
        let message = format!("`{key}` is a name: references stand in values alone");
        report.warn(report.tree.key_of(member.place), message, None);
    }
}

/// What the key `...` names: one, or a list.
fn spread<'c>(named: &'c Spanned<Json>, scope: Scope<'_>, uses: &mut Uses<'c>, report: &mut Report<'_, '_>) -> Vec<Spread<'c>> {
    let texts: Vec<Spanned<&'c str>> = match &named.value {
        Json::Text(text) => vec![Spanned { value: text, place: named.place }],
        Json::List(items) if !items.is_empty() && items.iter().all(|item| matches!(item.value, Json::Text(_))) => {
            let text = |item: &'c Spanned<Json>| match &item.value {
                Json::Text(text) => Some(Spanned { value: text.as_str(), place: item.place }),
                _ => None,
            };
            items.iter().filter_map(text).collect()
        }
        _ => {
            uses.sure = false;
            report.error(named.place, "`...` takes the name of a call, or a list of them, as in `\"...\": [user, cart]`");
            return Vec::new();
        }
    };
    let mut spreads = Vec::new();
    for text in texts {
        let bare = text.value.strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
        if let Some(bare) = bare {
            uses.sure = false;
            report.helped(text.place, "here a call is named without braces", Some(format!("write `{}`", bare.trim_start_matches(SPREAD))));
            continue;
        }
        match uses.bare(text, scope, report).cloned() {
            Some(origin @ (Origin::Call(..) | Origin::Body(_))) => {
                spreads.push(Spread { part: Part { text, range: 0..text.len() }, origin });
            }
            Some(_) => report.error(text.place, format!("`{}` has no members: `...` takes the name of a call", text.value)),
            None => {}
        }
    }
    spreads
}
