//! Which files make up a configuration.

use std::path::{Path, PathBuf};

use super::places::Source;
use super::read::MAX_BYTES;
use crate::files;

/// Reads a file, or every `*.yaml` of a directory by name.
pub(super) fn read(path: Option<&Path>) -> Result<Vec<Source>, String> {
    let path = path.map(Path::to_owned);
    let read = move || -> Result<Vec<Source>, String> { files_of(path.as_deref())?.iter().map(|file| read_one(file)).collect() };
    files::in_time(read).unwrap_or_else(|error| Err(format!("the configuration cannot be read: {error}")))
}

/// As [`read`], for whoever is content with less: files that cannot be read are left out.
pub(super) fn readable(path: Option<&Path>) -> Vec<(PathBuf, String)> {
    let path = path.map(Path::to_owned);
    let read = move || {
        let files = files_of(path.as_deref()).unwrap_or_default();
        let text = |file: PathBuf| {
            let bytes = files::regular(&file, MAX_BYTES).ok()?;
            Some((file, String::from_utf8_lossy(&bytes).into_owned()))
        };
        files.into_iter().filter_map(text).collect()
    };
    files::in_time(read).unwrap_or_default()
}

fn files_of(path: Option<&Path>) -> Result<Vec<PathBuf>, String> {
    let path = match path {
        Some(path) => path,
        None => [Path::new("frontgate.yaml"), Path::new("/etc/frontgate")]
            .into_iter()
            .find(|path| path.exists())
            .ok_or("no configuration found: there is neither ./frontgate.yaml nor /etc/frontgate/; name one with `--config`")?,
    };
    let cannot = |error: std::io::Error| format!("`{}` cannot be read: {error}", path.display());
    if !std::fs::metadata(path).map_err(cannot)?.is_dir() {
        return Ok(vec![path.to_owned()]);
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
    Ok(files)
}

fn read_one(path: &Path) -> Result<Source, String> {
    let cannot = |error: std::io::Error| format!("`{}` cannot be read: {error}", path.display());
    let bytes = files::regular(path, MAX_BYTES).map_err(cannot)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        format!("`{}` is not UTF-8: the first invalid byte is number {}", path.display(), error.utf8_error().valid_up_to())
    })?;
    Ok(Source { name: path.display().to_string(), text })
}
