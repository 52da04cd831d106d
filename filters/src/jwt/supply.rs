//! Where the keys in force come from: read once when the filter is built, or taken from a document that the gateway keeps fresh.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::config::{Config, Jwks, KeySource};
use super::keys::Keys;
use crate::filter::build::{Build, Outside};
use crate::filter::document::{RemoteDocument, Wanted};
use crate::words::spanned::{Place, Problem};
use crate::words::url::Url;

/// Where the keys in force are asked for.
pub(super) enum Supply {
    /// Here.
    Held(Arc<Keys>),
    /// Elsewhere.
    Remote(Remote),
}

/// A key set behind a URL.
pub(super) struct Remote {
    pub(super) document: Arc<dyn RemoteDocument>,
    pub(super) url: Url,
    /// The keys of the document that was last in force, read once for all requests.
    read: ArcSwapOption<Keys>,
}

impl Supply {
    /// The supply that the options name. Keys that are the same as in the filter's earlier one keep their generation.
    pub(super) fn build(config: &Config, with: &Build<'_>, earlier: Option<&Self>) -> Result<Self, String> {
        if let KeySource::Jwks(jwks @ Jwks { url: Some(url), .. }) = &config.keys.value {
            let url = Url::parse(url)?;
            let wanted = Wanted {
                what: "key set",
                accept: "application/jwk-set+json, application/json",
                refresh: jwks.refresh(),
                stale_for: jwks.stale_for(),
                check: |text| Keys::from_jwks(text).map(drop),
            };
            let remote = Remote::new(with.outside.document(&url, wanted), url);
            if let Some(Self::Remote(earlier)) = earlier {
                remote.read.store(earlier.read.load_full());
            }
            return Ok(Self::Remote(remote));
        }
        let keys = read(config, with.outside).map_err(|problem| problem.message)?;
        Ok(Self::Held(match earlier {
            Some(Self::Held(before)) if before.same_as(&keys) => before.clone(),
            _ => Arc::new(keys),
        }))
    }

    /// Why the keys that the options name cannot be read here and now; nothing for those that are fetched.
    pub(super) fn missing(config: &Config, outside: &dyn Outside) -> Option<Problem> {
        match &config.keys.value {
            KeySource::Jwks(Jwks { url: Some(_), .. }) => None,
            _ => read(config, outside).err(),
        }
    }

    /// Whether what was verified under `earlier` may still hold: every token remembers the generation of its keys.
    pub(super) fn follows(&self, earlier: &Self) -> bool {
        match (self, earlier) {
            (Self::Held(now), Self::Held(before)) => Arc::ptr_eq(now, before),
            (Self::Remote(_), Self::Remote(_)) => true,
            _ => false,
        }
    }

    /// The keys in force; none while they never could be had.
    pub(super) fn keys(&self) -> Option<Arc<Keys>> {
        match self {
            Self::Held(keys) => Some(keys.clone()),
            Self::Remote(remote) => remote.keys(),
        }
    }

    /// How long ago they were last known to be the issuer's, where they come from elsewhere and were had.
    pub(super) fn age(&self) -> Option<Duration> {
        match self {
            Self::Held(_) => None,
            Self::Remote(remote) => remote.document.age(),
        }
    }

    /// Whether there are none in force: they never could be had, or not for too long.
    pub(super) fn is_lacking(&self) -> bool {
        matches!(self, Self::Remote(remote) if remote.document.generation() == 0)
    }
}

impl Remote {
    pub(super) fn new(document: Arc<dyn RemoteDocument>, url: Url) -> Self {
        Self { document, url, read: ArcSwapOption::empty() }
    }

    fn keys(&self) -> Option<Arc<Keys>> {
        let generation = self.document.generation();
        if let Some(keys) = self.read.load().as_ref().filter(|keys| keys.generation() == generation) {
            return Some(keys.clone());
        }
        // Requests that come at once may each read it; they read the same.
        let document = self.document.current()?;
        let keys = Arc::new(Keys::from_document(&document).ok()?);
        self.read.store(Some(keys.clone()));
        Some(keys)
    }
}

/// Reads keys that are kept here.
fn read(config: &Config, outside: &dyn Outside) -> Result<Keys, Problem> {
    let at = |place: Place| move |why: String| Problem::at(place, why);
    match &config.keys.value {
        KeySource::Jwks(Jwks { file: Some(file), .. }) => {
            let text = outside.read(file.place, file).map_err(at(file.place))?;
            Keys::from_jwks(&text).map_err(|why| Problem::at(file.place, format!("the key set `{}`: {why}", file.display())))
        }
        KeySource::Jwks(_) => Err(Problem::lacking(config.keys.place, "`jwks` needs a `url` or a `file`")),
        KeySource::PublicKey(source) => {
            let text = outside.secret(source).map_err(at(source.place()))?;
            Keys::from_pem(&text).map_err(|why| Problem::at(source.place(), format!("the public key cannot be used: {why}")))
        }
        KeySource::Secret(source) => {
            let secret = outside.secret(source).map_err(at(source.place()))?;
            let least = config.algorithms.iter().map(|algorithm| algorithm.secret_length()).max().unwrap_or_default();
            if secret.len() < least {
                let why = format!("the secret has {} bytes, and its algorithms need {least} (RFC 7518, section 3.2)", secret.len());
                return Err(Problem::at(source.place(), why));
            }
            Ok(Keys::from_secret(secret.as_bytes()))
        }
    }
}
