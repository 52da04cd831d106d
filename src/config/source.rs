//! Which files make up a configuration, and which lie beside them unread.

use std::path::{Path, PathBuf};

use super::diagnostics::{Code, Diagnostic, Diagnostics};
use super::places::{At, Source};
use super::read::MAX_BYTES;
use crate::files;

/// The texts of a configuration.
pub(super) struct Found {
    /// Its files.
    pub sources: Vec<Source>,
    /// What is probably not meant.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a file, or every `*.yaml` of a directory by name.
pub(super) fn read(path: Option<&Path>) -> Result<Found, Diagnostics> {
    let lost = |message: String| Diagnostics::new(vec![Diagnostic::error(message).code(Code::File)], std::sync::Arc::default());
    let path = match path {
        Some(path) => path,
        None => [Path::new("frontgate.yaml"), Path::new("/etc/frontgate")].into_iter().find(|path| path.exists()).ok_or_else(|| {
            lost("no configuration found: there is neither ./frontgate.yaml nor /etc/frontgate/; name one with `--config`".to_owned())
        })?,
    };
    let Some(listed) = list(path).map_err(lost)? else {
        return Ok(Found { sources: vec![read_one(path)?], warnings: Vec::new() });
    };
    let (files, others): (Vec<PathBuf>, Vec<PathBuf>) = listed.into_iter().partition(|file| is_read(file));
    if files.is_empty() {
        let near = others.iter().find(|file| looks_like_one(file)).map(|file| format!("`{}` is not read: rename it", file.display()));
        let message = format!("there is no `*.yaml` in `{}`", path.display());
        return Err(Diagnostics::new(vec![Diagnostic::error(message).code(Code::File).help(near)], std::sync::Arc::default()));
    }
    let sources = files.iter().map(|file| read_one(file)).collect::<Result<Vec<_>, _>>()?;
    let warnings = others.iter().filter(|file| looks_like_one(file) && !is_named(file, &sources)).map(|file| unread(file)).collect();
    Ok(Found { sources, warnings })
}

/// What lies in a directory, by name; nothing for a path that is no directory. Hidden files are what editors and mounted volumes keep
/// beside the files themselves.
fn list(path: &Path) -> Result<Option<Vec<PathBuf>>, String> {
    let folder = path.to_owned();
    files::patiently(path, move || {
        let cannot = |error: std::io::Error| files::unreadable(&folder, &error);
        if !std::fs::metadata(&folder).map_err(cannot)?.is_dir() {
            return Ok(None);
        }
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(cannot)? {
            let file = entry.map_err(cannot)?.path();
            if !file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
                found.push(file);
            }
        }
        found.sort();
        Ok(Some(found))
    })
}

fn is_read(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "yaml") && !file.is_dir()
}

/// Whether somebody may believe that this is read: a file with the ending of a configuration, or a folder of such files.
fn looks_like_one(file: &Path) -> bool {
    let ends = |file: &Path| {
        let ending = file.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        ["yaml", "yml", "json"].contains(&&*ending)
    };
    if file.is_dir() {
        return std::fs::read_dir(file).is_ok_and(|entries| entries.flatten().any(|entry| is_read(&entry.path())));
    }
    ends(file)
}

/// Whether the configuration names this file, as it does a key set.
fn is_named(file: &Path, sources: &[Source]) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    sources.iter().any(|source| source.text.contains(&*name))
}

fn unread(file: &Path) -> Diagnostic {
    let why = if file.is_dir() { "the folders of a directory are not" } else { "of a directory only `*.yaml` are" };
    Diagnostic::warning(format!("`{}` is not read: {why}", file.display())).code(Code::File)
}

fn read_one(path: &Path) -> Result<Source, Diagnostics> {
    let name = path.display().to_string();
    let bytes = files::read(path, MAX_BYTES)
        .map_err(|why| Diagnostics::new(vec![Diagnostic::error(why).code(Code::File)], std::sync::Arc::default()))?;
    let error = match String::from_utf8(bytes) {
        // A mark of UTF-8 at its beginning is none of the text.
        Ok(text) => return Ok(Source { name, text: text.trim_start_matches('\u{feff}').to_owned() }),
        Err(error) => error,
    };
    // What cannot be read is shown as a question mark; what is before it stays where it is.
    let at = error.utf8_error().valid_up_to();
    let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
    let wide = matches!(error.as_bytes(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
    let message = if wide { "this file is in UTF-16" } else { "this byte is not part of a character in UTF-8" };
    let place = At { file: 0, range: at..at + '\u{fffd}'.len_utf8() };
    let diagnostic = Diagnostic::error(message).code(Code::File).at(place).help(Some("save the file as UTF-8".to_owned()));
    Err(Diagnostics::new(vec![diagnostic], std::sync::Arc::new(vec![Source { name, text }])))
}
