//! What filters may ask of the configuration around them.

use std::sync::Arc;

use frontgate_filters::filter::build::{Outside, Secret};
use frontgate_filters::filter::document::{NoDocument, RemoteDocument, Wanted};
use frontgate_filters::words::spanned::Place;
use frontgate_filters::words::url::Url;

use crate::config::Loaded;
use crate::upstream::Documents;

/// What filters may ask of the configuration around them.
pub(super) struct FromConfig<'c> {
    pub documents: Option<&'c Documents>,
    pub loaded: &'c Loaded,
    pub upstreams: Vec<Arc<str>>,
    pub routes: Vec<Arc<str>>,
}

impl Outside for FromConfig<'_> {
    fn read(&self, place: Place, path: &std::path::Path) -> Result<Vec<u8>, String> {
        self.loaded.ledger().read(place, &self.loaded.resolve_path(place, path))
    }
    fn secret(&self, secret: &Secret) -> Result<String, String> {
        self.loaded.secret(secret)
    }
    fn document(&self, url: &Url, wanted: Wanted) -> Arc<dyn RemoteDocument> {
        match self.documents {
            Some(documents) => documents.get(url, wanted),
            None => Arc::new(NoDocument),
        }
    }
    fn upstreams(&self) -> &[Arc<str>] {
        &self.upstreams
    }
    fn routes(&self) -> &[Arc<str>] {
        &self.routes
    }
}
