//! How the trees of several files become one.

use frontgate_filters::words::spanned::Place;

use super::tree::{Entry, Node, Value};
use crate::config::diagnostics::{Code, Diagnostic};
use crate::config::places::Places;

/// Makes one tree of the files' trees: `upstreams` and `filters` unite, `routes` follow each other, `version` may be in each, and every
/// other section in one.
pub(crate) fn unite(mut roots: Vec<Node>, places: &mut Places, problems: &mut Vec<Diagnostic>) -> Node {
    if roots.len() == 1 {
        return roots.remove(0);
    }
    let id = places.add_nowhere(0);
    let mut sections: Vec<Entry> = Vec::new();
    for root in roots {
        match root.value {
            Value::Map(entries) => entries.into_iter().for_each(|entry| add(&mut sections, entry, places, problems)),
            // A file of comments alone.
            Value::Null => {}
            _ => problems.push(Diagnostic::error("expected a map of sections").code(Code::Value).on(places, Place(root.id))),
        }
    }
    Node { id, value: Value::Map(sections), text: String::new() }
}

fn add(sections: &mut Vec<Entry>, entry: Entry, places: &Places, problems: &mut Vec<Diagnostic>) {
    let Some(first) = sections.iter_mut().find(|section| section.key == entry.key) else {
        return sections.push(entry);
    };
    let mut twice = |message: String, second: u32, first: u32| {
        let mut diagnostic = Diagnostic::error(message).code(Code::DuplicateKey).on(places, Place(second));
        diagnostic.labels.extend(places.at(Place(first)).map(|at| (at, "first defined here".to_owned())));
        problems.push(diagnostic);
    };
    match (entry.key.as_str(), &mut first.node.value, entry.node.value) {
        ("routes", Value::Seq(routes), Value::Seq(more)) => routes.extend(more),
        ("upstreams" | "filters", Value::Map(names), Value::Map(more)) => {
            for new in more {
                match names.iter().find(|old| old.key == new.key) {
                    Some(old) => twice(format!("`{}` is defined twice in `{}`", new.key, entry.key), new.key_id, old.key_id),
                    None => names.push(new),
                }
            }
        }
        ("version", Value::Unsigned(old), Value::Unsigned(new)) if *old == new => {}
        ("version", ..) => twice("the files have different values of `version`".to_owned(), entry.node.id, first.node.id),
        _ => twice(format!("`{}` may be written in one file only", entry.key), entry.key_id, first.key_id),
    }
}
