//! What a filter is built with: its name, its metrics, and the little of the outside that it may ask for.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Filter;
use super::document::{NoDocument, RemoteDocument, Wanted};
use crate::count::metrics::Families;
use crate::words::spanned::{Place, Spanned};
use crate::words::url::Url;

/// A secret, named by where it is kept, never written into the configuration itself.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// A file, relative to the one that names it; a trailing line break does not count.
    File(Spanned<PathBuf>),
    /// An environment variable.
    Env(Spanned<String>),
}

impl Secret {
    /// Where it is named.
    pub fn place(&self) -> Place {
        match self {
            Self::File(path) => path.place,
            Self::Env(name) => name.place,
        }
    }
}

/// What lies outside of a filter.
pub trait Outside {
    /// A file, its path relative to the configuration file that names it at `place`.
    fn read(&self, place: Place, path: &Path) -> Result<Vec<u8>, String>;
    /// The present value of a secret.
    fn secret(&self, secret: &Secret) -> Result<String, String>;
    /// The document at this URL, which the gateway keeps fresh; where nothing is fetched, one that is never there.
    fn document(&self, _url: &Url, _wanted: Wanted) -> Arc<dyn RemoteDocument> {
        Arc::new(NoDocument)
    }
    /// The names of all upstreams.
    fn upstreams(&self) -> &[Arc<str>];
    /// The names of all routes, by the index in [`super::Facts::route_index`].
    fn routes(&self) -> &[Arc<str>];
}

/// What a filter is built with.
pub struct Build<'b> {
    /// Its name; its kind where it is written in place.
    pub name: &'b str,
    /// Where it counts.
    pub metrics: &'b Families,
    /// What it may ask for.
    pub outside: &'b dyn Outside,
    /// The same filter under the configuration before, where its options are unchanged: its state may be taken over.
    pub previous: Option<&'b Arc<dyn Filter>>,
}

impl Build<'_> {
    /// The filter as it was, where nothing of it changed, else a new one: for a kind that reads nothing from outside.
    pub fn kept_or<F: Filter>(&self, new: impl FnOnce() -> Result<F, String>) -> Result<Arc<dyn Filter>, String> {
        match self.previous {
            Some(previous) => Ok(previous.clone()),
            None => Ok(Arc::new(new()?)),
        }
    }

    /// The same filter's earlier self, to take state from.
    pub fn earlier<F: Filter>(&self) -> Option<&F> {
        let filter: &dyn Filter = &**self.previous?;
        (filter as &dyn Any).downcast_ref()
    }
}

/// The outside of unit tests: nothing is fetched, and these are the upstreams and routes.
#[derive(Default)]
pub struct Nowhere {
    /// What [`Outside::upstreams`] says.
    pub upstreams: Vec<Arc<str>>,
    /// What [`Outside::routes`] says.
    pub routes: Vec<Arc<str>>,
}

impl Outside for Nowhere {
    fn read(&self, _: Place, path: &Path) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|error| format!("`{}` cannot be read: {error}", path.display()))
    }
    fn secret(&self, secret: &Secret) -> Result<String, String> {
        match secret {
            Secret::File(path) => self.read(path.place, path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            Secret::Env(name) => std::env::var(&name.value).map_err(|_| format!("`{}` is not set", name.value)),
        }
    }
    fn upstreams(&self) -> &[Arc<str>] {
        &self.upstreams
    }
    fn routes(&self) -> &[Arc<str>] {
        &self.routes
    }
}
