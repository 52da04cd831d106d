//! Which files make up a configuration.

use std::path::{Path, PathBuf};

use super::places::Source;
use super::read::MAX_BYTES;
use crate::files;

/// Reads a file, or every `*.yaml` of a directory by name.
pub(super) fn read(path: Option<&Path>) -> Result<Vec<Source>, String> {
    let path = match path {
        Some(path) => path,
        None => [Path::new("frontgate.yaml"), Path::new("/etc/frontgate")]
            .into_iter()
            .find(|path| path.exists())
            .ok_or("no configuration found: there is neither ./frontgate.yaml nor /etc/frontgate/; name one with `--config`")?,
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
    let bytes = files::read(path, MAX_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        format!("`{}` is not UTF-8: the first invalid byte is number {}", path.display(), error.utf8_error().valid_up_to())
    })?;
    Ok(Source { name: path.display().to_string(), text })
}
