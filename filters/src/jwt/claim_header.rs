//! Headers that tell the upstream what a token says.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;

use super::config::Config;
use super::reason::Reason;
use crate::filter::{Identity, Request};
use crate::words::claims::{Claim, Claims};
use crate::words::selector::{ClaimPath, Selector};

/// `claim_headers`, compiled.
pub(super) struct ClaimHeaders(Box<[ClaimHeader]>);

/// The values of one token, in the headers' order; none where the token lacks the claim.
pub(super) type Values = Box<[Option<HeaderValue>]>;

struct ClaimHeader {
    /// Shared bytes: a name outside of the well-known ones would be copied for every request.
    name: Bytes,
    claim: ClaimPath,
}

impl ClaimHeaders {
    pub(super) fn new(config: &Config) -> Self {
        let headers = config.claim_headers.iter().filter_map(|(name, claim)| match &claim.value {
            Selector::Claim(path) => Some(ClaimHeader { name: Bytes::from(name.clone()), claim: path.clone() }),
            _ => None,
        });
        Self(headers.collect())
    }

    /// What the upstream is told of these claims.
    pub(super) fn values(&self, claims: &Claims) -> Result<Values, Reason> {
        self.0.iter().map(|header| header.claim.find(claims).map_or(Ok(None), value)).collect()
    }

    /// Tells the upstream, and the filters after this one who the caller is.
    pub(super) fn tell(&self, request: &mut Request<'_>, identity: &Arc<Identity>, values: &[Option<HeaderValue>]) {
        for (header, value) in self.0.iter().zip(values) {
            if let Some(value) = value {
                request.head.insert_header(header.name.clone(), value.clone()).expect("the name was checked with the configuration");
                request.because(|| format!("the upstream is sent {} from {}", String::from_utf8_lossy(&header.name), header.claim));
            }
        }
        request.facts.identity = Some(identity.clone());
    }
}

/// A claim as a header's value: printable ASCII, a list joined by commas. What would be read as something else there is refused: a
/// member of a list that holds a comma, an object, a line break.
fn value(claim: &Claim) -> Result<Option<HeaderValue>, Reason> {
    let text = match claim {
        Claim::Null => return Ok(None),
        Claim::List(list) => {
            let parts = list.iter().map(|item| item.word().filter(|part| !part.contains(',') && !part.trim().is_empty()));
            parts.collect::<Option<Vec<_>>>().map(|parts| parts.join(","))
        }
        claim => claim.word().map(str::to_owned),
    };
    let text = text.filter(|text| text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) && text.trim() == text);
    let value = text.and_then(|text| HeaderValue::from_maybe_shared(Bytes::from(text)).ok());
    value.map(Some).ok_or(Reason::ClaimHeader)
}
