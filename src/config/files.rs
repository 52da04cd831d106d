//! Which files make up a configuration, and how several become one.

use std::path::{Path, PathBuf};

use frontgate_filters::words::spanned::Place;

use super::diagnostics::{Diagnostic, Source};
use super::tree::{Entry, Node, Places, Value};
use super::yaml::MAX_BYTES;

/// Reads a file, or every `*.yaml` of a directory by name.
pub fn read(path: Option<&Path>) -> Result<Vec<Source>, String> {
    let path = match path {
        Some(path) => path,
        None => [Path::new("frontgate.yaml"), Path::new("/etc/frontgate")]
            .into_iter()
            .find(|path| path.exists())
            .ok_or("there is neither ./frontgate.yaml nor /etc/frontgate/: name the configuration with `--config`")?,
    };
    let cannot = |error: std::io::Error| format!("`{}` cannot be read: {error}", path.display());
    if !std::fs::metadata(path).map_err(cannot)?.is_dir() {
        return Ok(vec![read_one(path)?]);
    }
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(path).map_err(cannot)? {
        let file = entry.map_err(cannot)?.path();
        // Hidden ones are what editors and mounted volumes keep beside the files themselves.
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if file.extension().is_some_and(|extension| extension == "yaml") && !hidden && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(format!("there is no `*.yaml` in `{}`", path.display()));
    }
    files.iter().map(|file| read_one(file)).collect()
}

fn read_one(path: &Path) -> Result<Source, String> {
    let cannot = |error: std::io::Error| format!("`{}` cannot be read: {error}", path.display());
    if std::fs::metadata(path).map_err(cannot)?.len() > MAX_BYTES {
        return Err(format!("`{}` is larger than {} MiB", path.display(), MAX_BYTES >> 20));
    }
    let bytes = std::fs::read(path).map_err(cannot)?;
    let text = String::from_utf8(bytes)
        .map_err(|error| format!("`{}` is not UTF-8: byte {} is wrong", path.display(), error.utf8_error().valid_up_to()))?;
    Ok(Source { name: path.display().to_string(), text })
}

/// Makes one tree of the files' trees: `upstreams` and `filters` unite, `routes` follow each other, `version` may stand in each, and
/// every other section once.
pub fn unite(mut roots: Vec<Node>, places: &mut Places, problems: &mut Vec<Diagnostic>) -> Node {
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
            _ => problems.push(Diagnostic::error("expected a map of keys").on(places, Place(root.id))),
        }
    }
    Node { id, value: Value::Map(sections), text: String::new() }
}

fn add(sections: &mut Vec<Entry>, entry: Entry, places: &Places, problems: &mut Vec<Diagnostic>) {
    let Some(first) = sections.iter_mut().find(|section| section.key == entry.key) else {
        return sections.push(entry);
    };
    let mut twice = |message: String, second: u32, first: u32| {
        let mut diagnostic = Diagnostic::error(message).on(places, Place(second));
        diagnostic.labels.extend(places.at(Place(first)).map(|at| (at, "it stands here first".to_owned())));
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
        ("version", ..) => twice("the files do not agree on `version`".to_owned(), entry.node.id, first.node.id),
        _ => twice(format!("`{}` may stand in one file only", entry.key), entry.key_id, first.key_id),
    }
}
