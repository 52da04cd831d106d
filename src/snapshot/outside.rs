//! What filters may ask of the configuration around them.

use std::sync::Arc;
use std::time::Duration;

use frontgate_filters::filter::build::{Outside, Secret};
use frontgate_filters::jwt::{KeyStore, NoKeys, Url};
use frontgate_filters::words::spanned::Place;

use crate::config::Loaded;
use crate::upstream::KeyRing;

/// What filters may ask of the configuration around them.
pub(super) struct FromConfig<'c> {
    pub keys: Option<&'c KeyRing>,
    pub loaded: &'c Loaded,
    pub pools: Vec<Arc<str>>,
    pub routes: Vec<Arc<str>>,
}

impl Outside for FromConfig<'_> {
    fn read(&self, place: Place, path: &std::path::Path) -> Result<Vec<u8>, String> {
        let path = self.loaded.resolve_path(place, path);
        std::fs::read(&path).map_err(|error| format!("`{}` cannot be read: {error}", path.display()))
    }
    fn secret(&self, secret: &Secret) -> Result<String, String> {
        self.loaded.secret(secret)
    }
    fn key_store(&self, url: &Url, refresh: Duration, stale_for: Duration) -> Arc<dyn KeyStore> {
        match self.keys {
            Some(keys) => keys.get(url, refresh, stale_for),
            None => Arc::new(NoKeys),
        }
    }
    fn pools(&self) -> &[Arc<str>] {
        &self.pools
    }
    fn routes(&self) -> &[Arc<str>] {
        &self.routes
    }
}
