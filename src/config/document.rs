//! Another file of YAML than a configuration, read into a type with the same care: every mistake with its place, and what was probably meant.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use frontgate_filters::words::spanned::Place;
use serde::de::DeserializeOwned;

use super::diagnostics::{Code, Diagnostic, Diagnostics, Severity};
use super::places::{At, Places, Source};
use super::read::tree::{Builder, Value};
use super::read::{collect, yaml};
use crate::files;

/// Where the values of a document are written.
pub(crate) struct Document {
    /// By their numbers.
    pub places: Places,
    /// Its file.
    pub sources: Arc<Vec<Source>>,
}

/// What a file holds, or everything that is wrong with it.
pub(crate) fn document<T: DeserializeOwned>(path: &Path) -> Result<(T, Document), Diagnostics> {
    let lost = |why: String| Diagnostics::new(vec![Diagnostic::error(why).code(Code::File)], Arc::default());
    let bytes = files::read(path, super::read::MAX_BYTES).map_err(lost)?;
    let text = String::from_utf8(bytes).map_err(|_| lost(format!("`{}` is not UTF-8", path.display())))?;
    let sources = Arc::new(vec![Source { name: path.display().to_string(), text: text.trim_start_matches('\u{feff}').to_owned() }]);
    let text = &sources[0].text;
    let (mut places, mut skip, mut problems) = (Places::default(), HashSet::new(), Vec::new());
    let raw = match yaml::read(text) {
        Ok(raw) => raw,
        Err(error) => {
            let diagnostic = Diagnostic::error(error.message).code(Code::Syntax).help(error.help);
            return Err(Diagnostics::new(vec![diagnostic.at(At { file: 0, range: error.range })], sources));
        }
    };
    let env = |name: &str| std::env::var(name).ok();
    let root = Builder { places: &mut places, file: 0, source: text, env: &env, problems: &mut problems, skip: &mut skip }.build(raw);
    if !matches!(root.value, Value::Map(_)) {
        problems.push(Diagnostic::error("expected a map of keys").code(Code::Value).on(&places, Place(root.id)));
        return Err(Diagnostics::new(problems, sources));
    }
    let index = collect::Index::new(&root);
    let read: Option<T> = collect::read(&root, &index, &places, &mut skip, &mut problems);
    let found = Diagnostics::new(problems, sources.clone());
    match read {
        Some(read) if !found.items.iter().any(|item| item.severity == Severity::Error) => Ok((read, Document { places, sources })),
        _ => Err(found),
    }
}
