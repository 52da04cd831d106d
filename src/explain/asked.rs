//! A request to explain as programs write it, and what is typed of a certificate.

use std::net::{IpAddr, Ipv4Addr};

use frontgate_filters::filter::ClientCertificate;
use frontgate_filters::words::claims::Claims;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::typed::short;
use super::{Explanation, Question, explain_live};
use crate::overload::Stage;
use crate::snapshot::Snapshot;

/// The body of `POST /-/explain`.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Posted {
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// A URL of http, https, ws or wss, or a path.
    pub url: String,
    /// Headers, `Name: value` each.
    #[serde(default)]
    pub headers: Vec<String>,
    /// Claims in place of a token: nothing of them is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Value>,
    /// Who is connected.
    #[serde(default = "here")]
    pub client_ip: IpAddr,
    /// The subject of the certificate that the client shows: nothing of it is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<String>,
    /// Its subject alternative names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_cert_san: Vec<String>,
}

fn get() -> String {
    "GET".to_owned()
}

fn here() -> IpAddr {
    Ipv4Addr::LOCALHOST.into()
}

impl Posted {
    /// What the running gateway does with it under this overload. The error is a sentence.
    pub(crate) fn explain(&self, snapshot: &Snapshot, overload: Stage) -> Result<Explanation, String> {
        let claims = self
            .claims
            .as_ref()
            .map(|claims| Claims::read(claims.to_string().as_bytes()).ok_or_else(|| "the claims are not a JSON object".to_owned()));
        let mut certificate = self.client_cert.as_deref().map(certificate).transpose()?;
        if !self.client_cert_san.is_empty() {
            certificate.get_or_insert_default().san = self.client_cert_san.iter().map(|name| name.as_str().into()).collect();
        }
        let question = Question {
            method: &self.method,
            url: &self.url,
            headers: &self.headers,
            peer: self.client_ip,
            claims: claims.transpose()?,
            certificate,
        };
        explain_live(snapshot, overload, question)
    }
}

/// The certificate with this subject, as RFC 4514 writes one, and as the fact is written.
pub(crate) fn certificate(text: &str) -> Result<ClientCertificate, String> {
    let mut parts: Vec<String> = vec![String::new()];
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        let Some(part) = parts.last_mut() else { break };
        match c {
            ',' => parts.push(String::new()),
            '\\' => part.extend(letters.next()),
            c => part.push(c),
        }
    }
    let mut found = ClientCertificate::default();
    for part in &mut parts {
        *part = part.trim().to_owned();
        let (kind, value) =
            part.split_once('=').ok_or_else(|| format!("`{}` is no part of a subject: write `CN=alice,O=shop`", short(part)))?;
        if kind.eq_ignore_ascii_case("cn") {
            found.cn.push(value.into());
        }
    }
    found.subject = parts.join(", ").into();
    Ok(found)
}
