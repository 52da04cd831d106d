//! What a saga needs of the request that begins it, read once.

use std::sync::Arc;

use bytes::Bytes;
use frontgate_filters::filter::Facts;
use frontgate_filters::json::{Document, Mark, Plan, Policy, Proved};
use frontgate_filters::words::fields;
use frontgate_filters::words::selector::Selector;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use pingora_http::RequestHeader;

use super::{Definition, NoFacts, elements, found};
use crate::compose::reference::Origin;
use crate::compose::saga::record::{Body, LARGEST, Record};
use crate::compose::values;

impl Definition {
    /// Puts what the saga needs of the request into its record.
    pub(crate) fn gather(&self, head: &RequestHeader, facts: &Facts, body: &Bytes, record: &mut Record) -> Result<(), NoFacts> {
        let document = if self.reads_body { Some(self.body(body).ok_or(NoFacts::Body)?) } else { None };
        let mut length = 0;
        for (number, (name, origin)) in self.facts.iter().enumerate() {
            let value = match origin {
                Origin::Body(_) => document.as_ref().and_then(|body| body.value(number)),
                origin => of_request(origin, head, facts)?,
            };
            let Some(value) = value else { continue };
            let Ok(text) = String::from_utf8(value.into_bytes().into()) else { continue };
            length += text.len();
            record.facts.insert(name.clone(), text);
        }
        if self.sends_body {
            length += body.len();
            let content_type = head.headers.get(CONTENT_TYPE).and_then(fields::text).map(str::to_owned);
            // Several codings may be named in several fields (RFC 9110, 8.4).
            let codings: Vec<&str> = head.headers.get_all(CONTENT_ENCODING).iter().filter_map(fields::text).collect();
            let content_encoding = (!codings.is_empty()).then(|| codings.join(", "));
            record.body = Some(Body { content_type, content_encoding, bytes: body.clone() });
        }
        if length > LARGEST / 2 { Err(NoFacts::TooLarge) } else { Ok(()) }
    }

    /// What was gathered of what the request says, beside its body: the names and values that tell it from another one with the same key. What
    /// its connection or the gateway says, such as the client's address, may be another when the same is sent again.
    pub(crate) fn said<'r>(&'r self, record: &'r Record) -> impl Iterator<Item = &'r [u8]> {
        let said = self.facts.iter().filter(|(_, origin)| match origin {
            Origin::Body(_) => false,
            Origin::Selector(selector) => !matches!(
                selector,
                Selector::ClientIp | Selector::Route | Selector::Scheme | Selector::TlsSni | Selector::TlsVersion | Selector::Version
            ),
            _ => true,
        });
        // A value is JSON, and never empty: nothing tells one that is missing.
        let said = said.flat_map(|(name, _)| [name.as_bytes(), record.facts.get(name).map_or(&[][..], String::as_bytes)]);
        // Of a body that is sent as it came, what it is said to be.
        let sent = record.body.iter().flat_map(|body| [&body.content_type, &body.content_encoding]);
        said.chain(sent.map(|said| said.as_deref().unwrap_or_default().as_bytes()))
    }

    /// The client's body, where its values can be read.
    fn body(&self, body: &Bytes) -> Option<ClientBody> {
        let places = self.facts.iter().enumerate().filter_map(|(number, (_, origin))| match origin {
            Origin::Body(place) => Some((number, place)),
            _ => None,
        });
        let (mut marks, mut known) = (Vec::new(), Vec::new());
        for (mark, (fact, place)) in (0_u16..).zip(places) {
            marks.push(Mark { number: mark, place: place.clone(), each: false });
            known.push(BodyPlace { fact, mark, elements: elements(place) });
        }
        let plan = Plan::new(&Policy::drop(&[]).ok()?, &[], &marks).ok()?;
        Some(ClientBody { document: values::read(&Arc::new(plan), body.clone())?, places: known })
    }
}

/// The client's body, with the values of it that are referred to.
struct ClientBody {
    document: Document,
    places: Vec<BodyPlace>,
}

/// Where a fact is in the client's body.
struct BodyPlace {
    fact: usize,
    mark: u16,
    /// How many elements of arrays its place names by itself.
    elements: usize,
}

impl ClientBody {
    /// The value of the fact of this number.
    fn value(&self, fact: usize) -> Option<Proved> {
        let place = self.places.iter().find(|place| place.fact == fact)?;
        found(&self.document, place.mark, place.elements)
    }
}

/// A fact of the request as JSON. One that is no text cannot be kept.
fn of_request(origin: &Origin, head: &RequestHeader, facts: &Facts) -> Result<Option<Proved>, NoFacts> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(|text| Some(values::string(text))).map_err(|_| NoFacts::Text);
    match origin {
        Origin::Variable(variable) => {
            let encoded = variable.find(head.uri.path());
            if encoded.is_empty() {
                return Ok(None);
            }
            text(&percent_encoding::percent_decode_str(encoded).collect::<Vec<u8>>())
        }
        Origin::Selector(Selector::Claim(path)) => {
            Ok(facts.identity.as_ref().and_then(|identity| path.find(&identity.claims)).and_then(values::claim))
        }
        Origin::Selector(selector) => selector.find(head, facts).map_or(Ok(None), |found| text(&found)),
        Origin::Query => head.uri.query().map_or(Ok(None), |query| text(query.as_bytes())),
        Origin::Body(_) | Origin::Call(..) | Origin::Each | Origin::Saga | Origin::Key(_) => Ok(None),
    }
}
