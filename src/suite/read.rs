//! A file of cases, read with the same care as a configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use frontgate_filters::words::spanned::Place;

use super::model::Suite;
use super::names;
use crate::config::Loaded;
use crate::config::diagnostics::{Diagnostic, Diagnostics, Severity};
use crate::config::document::{Document, document};

/// Cases that were read.
pub(crate) struct Read {
    pub(super) suite: Suite,
    document: Document,
    path: PathBuf,
}

/// The cases of a file, or everything that is wrong with it.
pub(crate) fn read(path: &Path) -> Result<Read, Diagnostics> {
    let (suite, document): (Suite, Document) = document(path)?;
    let read = Read { suite, document, path: path.to_owned() };
    let problems = names::alone(&read.suite);
    read.refused(problems).map_or(Ok(read), Err)
}

impl Read {
    /// The configuration that the file names.
    pub(crate) fn config(&self) -> Option<PathBuf> {
        let config = self.suite.config.as_ref()?;
        Some(self.path.parent().map_or_else(|| config.value.clone(), |folder| folder.join(&config.value)))
    }

    /// What is wrong with the names of routes, filters and upstreams.
    pub(crate) fn check(&self, loaded: &Loaded) -> Option<Diagnostics> {
        self.refused(names::unknown(&self.suite, &loaded.config, &|place| self.document.key_of(place)))
    }

    fn refused(&self, problems: Vec<(Place, String, Option<String>)>) -> Option<Diagnostics> {
        let told = |(place, message, help)| Diagnostic::error(message).help(help).on(&self.document.places, place);
        let found = Diagnostics::new(problems.into_iter().map(told).collect(), Arc::clone(&self.document.sources));
        found.items.iter().any(|item| item.severity == Severity::Error).then_some(found)
    }

    /// `file:line` of a value.
    pub(super) fn line(&self, place: Place) -> String {
        let at = self.document.places.at(place).map(|at| self.document.sources[at.file].line_column(at.range.start).0);
        at.map_or_else(|| self.path.display().to_string(), |line| format!("{}:{line}", self.path.display()))
    }
}
