//! GraphiQL: the page that a browser gets which is sent to a graph's address without a query.
//!
//! It is one document, with its style and its script in it: it works at whatever path a route has, and asks nobody but that path. What is carried
//! is the document as `make.mjs` makes it out of the packages of its lock file, packed, and the hashes of what went in and came out. It says
//! nothing of the graph: who reads its schema there asks for it as anybody does.

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use bytes::Bytes;
use frontgate_filters::coding::accept::Choice;
use frontgate_filters::coding::{self, Coding};
use frontgate_filters::reply::{Reply, ReplyBody};
use frontgate_filters::words::fields;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pingora_http::RequestHeader;

use super::accept::ranges;
use super::requests::asks_in_url;

/// The page, packed.
static PACKED: &[u8] = include_bytes!("graphiql.html.gz");

/// The page for the few who do not take it packed.
static PLAIN: LazyLock<Bytes> =
    LazyLock::new(|| coding::unpacked(b"gzip", PACKED).and_then(Result::ok).expect("what is carried is whole: a test reads it").into());

/// What is said of the page: its tag, and the policy that lets its own script run and nothing else.
struct Said {
    tag: HeaderValue,
    policy: HeaderValue,
}

static SAID: LazyLock<Said> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash("script")
    );
    // Weak: it is the same page packed and not.
    let tag = format!("W/\"{}\"", &hash("page")[..32]);
    let header = |text: String| HeaderValue::try_from(text).expect("it is of visible characters");
    Said { tag: header(tag), policy: header(policy) }
});

/// One of the hashes that were written when the page was made.
fn hash(name: &str) -> &'static str {
    let mut lines = include_str!("hashes.txt").lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect("a line for each: a test reads them")
}

/// The page for this request, where it is one of somebody who opens the address in a browser.
pub(crate) fn find(head: &RequestHeader) -> Option<Reply> {
    let is_wanted = (head.method == Method::GET || head.method == Method::HEAD)
        && prefers_page(&head.headers)
        && !asks_in_url(head.uri.query().unwrap_or_default());
    is_wanted.then(|| page(&head.headers))
}

/// Whether a page is named, and liked better than all that a graph answers.
fn prefers_page(headers: &HeaderMap) -> bool {
    let (mut page, mut others) = (0, 0);
    for (essence, weight) in ranges(headers) {
        let is = |wanted: &str| essence.eq_ignore_ascii_case(wanted.as_bytes());
        if is("text/html") {
            page = page.max(weight);
        } else if is("*/*") || essence.get(..12).is_some_and(|start| start.eq_ignore_ascii_case(b"application/")) && !is_of_pages(essence) {
            others = others.max(weight);
        }
    }
    page > others
}

/// What browsers name beside `text/html`, and no graph answers.
fn is_of_pages(essence: &[u8]) -> bool {
    ["application/xhtml+xml", "application/xml", "application/signed-exchange"]
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known.as_bytes()))
}

fn page(headers: &HeaderMap) -> Reply {
    let mut known = headers.get_all(IF_NONE_MATCH).iter().flat_map(|value| fields::tags(value.as_bytes()));
    let own = fields::opaque(SAID.tag.as_bytes());
    let is_known = known.any(|tag| tag == b"*" || fields::opaque(tag) == own);
    let is_packed = Choice::of(headers, &[Coding::Gzip]).coding.is_some();
    let mut said = vec![
        (ETAG, SAID.tag.clone()),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (VARY, HeaderValue::from_static("Accept, Accept-Encoding")),
        (CONTENT_SECURITY_POLICY, SAID.policy.clone()),
    ];
    let fixed: [(HeaderName, &'static str); 4] = [
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    said.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    if is_known {
        return Reply { status: StatusCode::NOT_MODIFIED, headers: said, body: ReplyBody::Bytes(Bytes::new()), reason: "graphql_page" };
    }
    said.push((CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")));
    let body = if is_packed {
        said.push((CONTENT_ENCODING, HeaderValue::from_static("gzip")));
        Bytes::from_static(PACKED)
    } else {
        PLAIN.clone()
    };
    Reply { status: StatusCode::OK, headers: said, body: ReplyBody::Bytes(body), reason: "graphql_page" }
}
