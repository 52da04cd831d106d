//! Tries what a running gateway opens, without serving: secrets, keys, key sets in files, the directory of the access log.
//!
//! Nothing is created, written or fetched. What fails is told at the line that names it.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use frontgate_filters::filter::pseudonym::Pseudonyms;
use frontgate_filters::registry::FilterEntry;
use frontgate_filters::words::spanned::{Problem, Weight};

#[cfg(feature = "graphql")]
use super::graphs::graphs;
use super::inline::inline;
use super::outside::FromConfig;
use crate::action::Seal;
use crate::config::Loaded;
use crate::config::diagnostics::Diagnostics;
use crate::config::model::{AccessLog, LogTarget};
use crate::discovery::{
    self,
    file::{self, Unusable},
};
use crate::door::tls::Kept;
use crate::files;
use crate::upstream::tls::Tls;

/// The configuration, if everything that it names outside of itself can be had.
pub(crate) fn opened(loaded: Loaded) -> Result<Loaded, Diagnostics> {
    let mut loaded = loaded;
    let problems = missing(&loaded);
    let graphs = graphs(&loaded);
    if problems.iter().all(|problem| problem.weight == Weight::Doubtful) && !graphs.refuse() {
        let lists = lists(&loaded);
        loaded.warnings = loaded.diagnose(problems).and(std::mem::take(&mut loaded.warnings)).and(lists).and(graphs);
        return Ok(loaded);
    }
    Err(loaded.diagnose(problems).and(loaded.warnings).and(graphs))
}

/// Graphs are refused in a build without them.
#[cfg(not(feature = "graphql"))]
fn graphs(_: &Loaded) -> Diagnostics {
    Diagnostics::default()
}

fn missing(loaded: &Loaded) -> Vec<Problem> {
    let config = &loaded.config;
    let mut problems = Vec::new();
    if let Some(token) = config.server.admin.as_ref().and_then(|admin| admin.token.as_ref())
        && let Err(why) = loaded.secret(token)
    {
        problems.push(Problem::at(token.place(), why));
    }
    for listener in &config.server.listeners {
        match Kept::read(listener, &|path| loaded.file(path)) {
            Ok(kept) => problems.extend(kept.into_iter().flat_map(|kept| kept.server().warnings.clone())),
            Err(wrong) => problems.extend(wrong),
        }
    }
    if let Some(path) = &config.server.state_dir {
        let folder = loaded.resolve_path(path.place, path);
        let tried = folder.clone();
        if let Err(why) = files::patiently(&folder, move || can_keep(&tried)) {
            problems.push(Problem::at(path.place, why));
        }
    }
    for upstream in config.upstreams.values() {
        problems.extend(discovery::missing(upstream, loaded));
        match Tls::read(upstream, &|path| loaded.file(path), None) {
            Ok(tls) => problems.extend(tls.into_iter().flat_map(|tls| tls.warnings.clone())),
            Err(wrong) => problems.extend(wrong),
        }
    }
    if let Some(hosts) = config.server.dns.as_ref().and_then(|dns| dns.hosts.as_ref())
        && let Err(why) = loaded.file(hosts)
    {
        problems.push(Problem::at(hosts.place, why));
    }
    if let Some(key) = &config.telemetry.hash_key
        && let Err(why) = loaded.secret(key).and_then(|key| Pseudonyms::keyed(key.as_bytes()).map(drop))
    {
        problems.push(Problem::at(key.place, why));
    }
    let cookies = config.routes.iter().flat_map(|route| route.cookie_keys());
    for key in cookies {
        if let Err(why) = loaded.secret(key).and_then(|key| Seal::new(key.as_bytes()).map(drop)) {
            problems.push(Problem::at(key.place, why));
        }
    }
    let outside = FromConfig { documents: None, loaded, upstreams: Vec::new(), routes: Vec::new() };
    let named = config.filters.values().map(|entry| &entry.value);
    let filters = named.chain(inline(config).map(|(_, _, entry)| entry));
    problems.extend(filters.flat_map(|FilterEntry { config, .. }| config.options().missing(&outside)));
    if let AccessLog::On { to: LogTarget::File(path), .. } = &config.telemetry.access_log {
        let resolved = loaded.resolve_path(path.place, path);
        let tried = resolved.clone();
        if let Err(why) = files::patiently(&resolved, move || can_append(&tried)) {
            problems.push(Problem::at(path.place, why));
        }
    }
    problems
}

/// What is wrong in files of endpoints, as doubts: a gateway serves without, and reads them again when they change.
fn lists(loaded: &Loaded) -> Diagnostics {
    let files = loaded.config.upstreams.values().filter_map(|upstream| upstream.discover.as_ref()?.file.as_ref());
    files.fold(Diagnostics::default(), |found, path| {
        let read = file::read(&loaded.resolve_path(path.place, path));
        match read {
            Ok(_) => found,
            Err(Unusable::Unreadable(why)) => {
                let problem = Problem::doubtful(path.place, format!("{why}: nobody is found there until it can be read"));
                found.and(loaded.diagnose(vec![problem]))
            }
            Err(Unusable::Wrong(problems)) => found.and(problems.doubted()),
        }
    })
}

/// Whether files can be created in this directory, or in the one that it would be made in.
fn can_keep(folder: &Path) -> Result<(), String> {
    let cannot = |error: &io::Error| format!("`{}` cannot be written to: {}", folder.display(), files::words(error));
    let mut at = folder;
    loop {
        match std::fs::metadata(at) {
            Ok(about) if about.is_dir() => return can_create(at).map_err(|error| cannot(&error)),
            Ok(_) => return Err(format!("`{}` cannot be written to: `{}` is not a directory", folder.display(), at.display())),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(cannot(&error)),
            Err(error) => match at.parent() {
                Some(above) if above.as_os_str().is_empty() => at = Path::new("."),
                Some(above) => at = above,
                None => return Err(cannot(&error)),
            },
        }
    }
}

/// Whether lines can be appended to this file, or the file can be created where there is none yet.
fn can_append(path: &Path) -> Result<(), String> {
    let cannot = |error: io::Error| format!("`{}` cannot be written: {}", path.display(), files::words(&error));
    match std::fs::metadata(path) {
        Ok(about) if about.is_dir() => Err(format!("`{}` cannot be written: it is a directory", path.display())),
        Ok(about) if about.is_file() => OpenOptions::new().append(true).open(path).map(drop).map_err(cannot),
        // To open a pipe or a device may do something.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            match std::fs::metadata(folder) {
                Ok(about) if about.is_dir() => can_create(folder).map_err(cannot),
                Ok(_) => Err(format!("`{}` cannot be written: `{}` is not a directory", path.display(), folder.display())),
                Err(error) => {
                    Err(format!("`{}` cannot be written: the directory `{}`: {}", path.display(), folder.display(), files::words(&error)))
                }
            }
        }
        Err(error) => Err(cannot(error)),
    }
}

/// Whether files can be created in a directory: one without a name is, and is gone at once.
#[cfg(target_os = "linux")]
fn can_create(folder: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).mode(0o600).open(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => Err(error),
        // Not every file system knows of files without a name.
        _ => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn can_create(_: &Path) -> io::Result<()> {
    Ok(())
}
