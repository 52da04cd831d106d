//! Another file of YAML than a configuration, read into a type with the same care: every mistake with its place, and what was probably meant.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use frontgate_filters::words::spanned::Place;
use serde::de::DeserializeOwned;

use super::diagnostics::{Code, Diagnostic, Diagnostics, Severity};
use super::places::{Places, Source};
use super::read::alone::Alone;
use super::read::collect;
use super::read::tree::{Node, Value};
use crate::files;

/// Where the values of a document are written.
pub(crate) struct Document {
    /// By their numbers.
    pub places: Places,
    /// Its file.
    pub sources: Arc<Vec<Source>>,
    /// The number of each value's key, by the value's.
    keys: BTreeMap<u32, u32>,
}

impl Document {
    /// Where the key of a value is written; of one that has none its own place.
    pub(crate) fn key_of(&self, place: Place) -> Place {
        self.keys.get(&place.0).map_or(place, |key| Place(*key))
    }
}

fn keys(node: &Node, found: &mut BTreeMap<u32, u32>) {
    for entry in node.entries() {
        found.insert(entry.node.id, entry.key_id);
        keys(&entry.node, found);
    }
    if let Value::Seq(items) = &node.value {
        items.iter().for_each(|item| keys(item, found));
    }
}

/// What a file holds, or everything that is wrong with it.
pub(crate) fn document<T: DeserializeOwned>(path: &Path) -> Result<(T, Document), Diagnostics> {
    let lost = |why: String| Diagnostics::new(vec![Diagnostic::error(why).code(Code::File)], Arc::default());
    let bytes = files::read(path, super::read::MAX_BYTES).map_err(lost)?;
    let text = String::from_utf8(bytes).map_err(|_| lost(format!("`{}` is not UTF-8", path.display())))?;
    let name = path.display().to_string();
    let text = text.trim_start_matches('\u{feff}').to_owned();
    let Alone { sources, places, mut skip, mut problems, root } = Alone::read(name, text, &|name| std::env::var(name).ok())?;
    if !matches!(root.value, Value::Map(_)) {
        problems.push(Diagnostic::error("expected a map of keys").code(Code::Value).on(&places, Place(root.id)));
        return Err(Diagnostics::new(problems, sources));
    }
    let index = collect::Index::new(&root);
    let read: Option<T> = collect::read(&root, &index, &places, &mut skip, &mut problems);
    let found = Diagnostics::new(problems, sources.clone());
    match read {
        Some(read) if !found.items.iter().any(|item| item.severity == Severity::Error) => {
            let mut known = BTreeMap::new();
            keys(&root, &mut known);
            Ok((read, Document { places, sources, keys: known }))
        }
        _ => Err(found),
    }
}
