//! What a filter is given when it is built: its name, its metrics, and the little of the outside that it may ask for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::count::metrics::FilterMetrics;
use crate::filter::Filter;
use crate::jwt::{KeyStore, NoKeys, Url};
use crate::words::spanned::{Place, Spanned};

/// A secret, named by where it is kept, never written into the configuration itself.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// A file, relative to the one that names it; a trailing line break does not count.
    File(Spanned<PathBuf>),
    /// An environment variable.
    Env(Spanned<String>),
}

/// What lies outside of a filter.
pub trait Outside {
    /// A file, its path relative to the configuration file that names it at `place`.
    fn read(&self, place: Place, path: &Path) -> Result<Vec<u8>, String>;
    /// The present value of a secret.
    fn secret(&self, secret: &Secret) -> Result<String, String>;
    /// The key set at this URL, which the gateway keeps fresh; one that never has any keys where nothing is fetched.
    fn key_store(&self, _url: &Url, _refresh: Duration, _stale_for: Duration) -> Arc<dyn KeyStore> {
        Arc::new(NoKeys)
    }
    /// The names of all pools.
    fn pools(&self) -> &[Arc<str>];
    /// The names of all routes, by the index in [`crate::filter::Facts::route_index`].
    fn routes(&self) -> &[Arc<str>];
}

/// What a filter is built with.
pub struct Build<'b> {
    /// Its name; its kind where it stands inline.
    pub name: &'b str,
    /// Where it counts.
    pub metrics: &'b FilterMetrics,
    /// What it may ask for.
    pub outside: &'b dyn Outside,
    /// The same filter under the configuration before, where its options are unchanged: its state may be taken over.
    pub previous: Option<&'b Arc<dyn Filter>>,
}

impl Build<'_> {
    /// The filter as it was, where nothing of it changed: for one that reads nothing from outside.
    pub fn kept(&self) -> Option<Arc<dyn Filter>> {
        self.previous.cloned()
    }

    /// The same filter's earlier self, to take state from.
    pub fn earlier<F: Filter>(&self) -> Option<&F> {
        let filter: &dyn Filter = &**self.previous?;
        (filter as &dyn std::any::Any).downcast_ref()
    }
}

/// A mistake in a filter's options that their types could not refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl Problem {
    /// A mistake here.
    pub fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), help: None }
    }
}

/// The outside of unit tests: no files, no secrets, these pools and routes.
#[derive(Default)]
pub struct Nowhere {
    /// What [`Outside::pools`] says.
    pub pools: Vec<Arc<str>>,
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
    fn pools(&self) -> &[Arc<str>] {
        &self.pools
    }
    fn routes(&self) -> &[Arc<str>] {
        &self.routes
    }
}
