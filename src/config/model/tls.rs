//! `tls` of a listener: its certificates, and what it asks of clients.

use std::collections::BTreeMap;
use std::path::PathBuf;

use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Spanned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `tls` of a listener: its certificates, and what it asks of clients.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(try_from = "Written")]
pub struct ListenerTls {
    /// Certificates with their keys: by SNI the one for exactly this name, else the one with a matching wildcard, else the first.
    pub certificates: Vec<Spanned<CertificatePair>>,
    /// The lowest version of TLS that is spoken.
    pub min_version: MinVersion,
    /// Whether clients have to show a certificate of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<Spanned<ClientAuth>>,
}

/// As it is written: with a list of certificates, or with one in short.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Certificates with their keys: by SNI the one for exactly this name, else the one with a matching wildcard, else the first.
    #[serde(default)]
    certificates: Vec<Spanned<CertificatePair>>,
    /// In short, for a single certificate: its file.
    cert: Option<Spanned<PathBuf>>,
    /// In short, for a single certificate: its key's file.
    key: Option<Spanned<PathBuf>>,
    /// The lowest version of TLS that is spoken: "1.2" or "1.3".
    #[serde(default)]
    min_version: MinVersion,
    /// Whether clients have to show a certificate of their own.
    client_auth: Option<Spanned<ClientAuth>>,
}

impl TryFrom<Written> for ListenerTls {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let Written { mut certificates, cert, key, min_version, client_auth } = written;
        match (cert, key) {
            (None, None) if certificates.is_empty() => return Err("there is no certificate: write `{cert: shop.pem, key: shop.key}`"),
            (None, None) => {}
            (Some(_), Some(_)) if !certificates.is_empty() => return Err("write either `certificates`, or `cert` and `key`"),
            (Some(cert), Some(key)) => {
                let place = cert.place;
                certificates.push(Spanned { place, value: CertificatePair { cert, key } });
            }
            _ => return Err("`cert` and `key` belong together"),
        }
        Ok(Self { certificates, min_version, client_auth })
    }
}

/// A certificate with its key, both in PEM.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct CertificatePair {
    /// The file of the certificate, followed by those that it was issued by.
    pub cert: Spanned<PathBuf>,
    /// The file of its private key.
    pub key: Spanned<PathBuf>,
}

/// The lowest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 alone.
    #[serde(rename = "1.3")]
    Tls13,
}

/// What is asked of clients.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ClientAuth {
    /// The file of the authorities whose certificates are taken, in PEM.
    pub ca: Spanned<PathBuf>,
    /// `required` ends a handshake without a certificate; with `optional` none is fine, and a bad one is not.
    #[serde(default)]
    pub mode: ClientAuthMode,
    /// The file of revoked certificates, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crl: Option<Spanned<PathBuf>>,
    /// Headers that tell upstreams who has shown a certificate, each with its fact: `client_cert.cn`, `client_cert.subject` or
    /// `client_cert.san`. They are removed from what clients send, on every listener.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cert_headers: BTreeMap<String, Spanned<Selector>>,
}

/// Whether a client's certificate is needed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthMode {
    /// A client without one is refused.
    #[default]
    Required,
    /// A client without one is served.
    Optional,
}
