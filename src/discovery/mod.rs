//! Where the endpoints of an upstream come from that are not written as addresses.
//!
//! A source is asked in the background, never by a request. What it says goes to the upstream's [`Keeper`], which decides what to make of it:
//! a source that is away changes nothing, one that suddenly knows nobody is doubted, and a changed set is swapped into the pool while
//! requests go on. Nothing of that compiles a configuration anew.

pub(crate) mod dns;
#[cfg(feature = "etcd")]
mod etcd;
pub(crate) mod file;
mod judge;
mod keeper;
pub(crate) mod kept;

use std::path::PathBuf;
use std::sync::Arc;

use frontgate_filters::words::spanned::{Problem, Spanned};

use self::dns::Dns;
use crate::certificates::{Pair, authorities};
use crate::config::Loaded;
use crate::config::model::{Endpoint, Upstream};
pub(crate) use crate::upstream::Found;
use crate::upstream::pool::Versions;

pub(crate) use self::keeper::{Keeper, Part, Reporter, in_words};

/// What the endpoints of an upstream that are names are called over TLS.
pub(crate) fn hosts(upstream: &Upstream) -> Vec<String> {
    let written = upstream.endpoints.iter().filter_map(|endpoint| Some(endpoint.address.name()?.authority(true)));
    let mut hosts: Vec<String> = written.chain(upstream.discover.as_ref().and_then(|discover| dns::host(discover))).collect();
    hosts.dedup();
    hosts
}

/// An upstream's endpoints as they are written, those of some versions where only these are asked, and where others come from.
pub(crate) fn written(upstream: &Upstream, versions: Option<&Versions>) -> Vec<String> {
    let version = |endpoint: &Spanned<Endpoint>| endpoint.version.as_ref().map(|version| version.value.clone());
    let asked = upstream.endpoints.iter().filter(|endpoint| versions.is_none_or(|versions| versions.name(version(endpoint).as_deref())));
    let endpoints = asked.map(|endpoint| endpoint.address.to_string());
    let Some(discover) = &upstream.discover else { return endpoints.collect() };
    let file = discover.file.as_ref().map(|file| format!("those of file {}", file.display()));
    let host = discover.dns.as_ref().map(|host| format!("those of dns {}", host.value));
    let service = discover.dns_srv.as_ref().map(|service| format!("those of dns_srv {}", service.value));
    let etcd = discover.etcd.as_ref().zip(discover.prefix.as_ref()).map(|(_, prefix)| format!("those of etcd {}", prefix.value));
    endpoints.chain([file, host, service, etcd].into_iter().flatten()).collect()
}

/// The sources that an upstream's endpoints come from, besides its written addresses. Without `dns` no name is ever resolved.
pub(crate) fn parts(upstream: &Upstream, loaded: &Loaded, dns: Option<&Arc<Dns>>) -> Result<Vec<Part>, String> {
    let mut parts = dns.map(|dns| dns::parts(upstream, dns)).unwrap_or_default();
    let Some(discover) = &upstream.discover else { return Ok(parts) };
    if let Some(path) = &discover.file {
        parts.push(file::part(path, loaded));
    }
    #[cfg(feature = "etcd")]
    if let Some(etcd) = &discover.etcd {
        parts.push(etcd::part(upstream, discover, etcd, loaded)?);
    }
    Ok(parts)
}

/// What the sources of an upstream name outside of the configuration, and is not to be had: secrets and files for TLS.
pub(crate) fn missing(upstream: &Upstream, loaded: &Loaded) -> Vec<Problem> {
    let Some(etcd) = upstream.discover.as_ref().and_then(|discover| discover.etcd.as_ref()) else { return Vec::new() };
    let files = |path: &Spanned<PathBuf>| loaded.file(path);
    let password = etcd.password.as_ref().and_then(|secret| loaded.secret(secret).err().map(|why| Problem::at(secret.place(), why)));
    let tls = etcd.tls.as_ref();
    let ca = tls.and_then(|tls| tls.ca.as_ref()).and_then(|ca| authorities(ca, &files).err());
    let pair = tls.and_then(|tls| tls.cert.as_ref().zip(tls.key.as_ref())).and_then(|(cert, key)| match Pair::read(cert, key, &files) {
        Ok(pair) => pair.expiry(cert),
        Err(problem) => Some(problem),
    });
    password.into_iter().chain(ca).chain(pair).collect()
}
