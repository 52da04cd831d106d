//! One bounded GET of the gateway's own, over http or https, on Pingora's connector: certificates are verified against the system's roots.

use std::time::Duration;

use frontgate_filters::words::url::Url;
use http::header::{ACCEPT, CONNECTION, ETAG, HOST, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderValue, StatusCode};
use pingora_core::connectors::http::v1::Connector;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::RequestHeader;

/// The most that an answer may hold.
const LARGEST: usize = 512 * 1024;
/// The most that all of it may take.
pub const LONGEST: Duration = Duration::from_secs(5);
/// How many of a name's addresses are tried.
const ADDRESSES: usize = 4;

/// What came.
pub enum Fetched {
    /// The same as before, as its tag says.
    Same,
    /// This.
    New {
        /// The body.
        body: Vec<u8>,
        /// Its tag, for the next time.
        etag: Option<HeaderValue>,
    },
}

/// Fetches what is there, as one of the media types in `accept`; `etag` is what was there before. The error is for the log, and holds nothing
/// of the answer.
pub async fn get(connector: &Connector, url: &Url, accept: &'static str, etag: Option<&HeaderValue>) -> Result<Fetched, String> {
    match tokio::time::timeout(LONGEST, fetch(connector, url, accept, etag)).await {
        Ok(result) => result,
        Err(_) => Err(format!("it took longer than {} s", LONGEST.as_secs())),
    }
}

async fn fetch(connector: &Connector, url: &Url, accept: &'static str, etag: Option<&HeaderValue>) -> Result<Fetched, String> {
    let failed = |error: Box<pingora_core::Error>| format!("it cannot be reached: {}", error.etype.as_str());
    let addresses = tokio::net::lookup_host((url.host.as_str(), url.port)).await.map_err(|_| "its name cannot be resolved".to_owned())?;
    let mut result = Err("its name has no address".to_owned());
    for address in addresses.take(ADDRESSES) {
        let mut peer = HttpPeer::new(address, url.tls, if url.tls { url.host.clone() } else { String::new() });
        peer.options.connection_timeout = Some(LONGEST / 2);
        peer.options.total_connection_timeout = Some(LONGEST / 2);
        result = connector.get_http_session(&peer).await.map_err(failed);
        if result.is_ok() {
            break;
        }
    }
    let (mut session, _) = result?;
    session.write_request_header(Box::new(request(url, accept, etag)?)).await.map_err(failed)?;
    loop {
        session.read_response().await.map_err(failed)?;
        if !session.get_status().is_some_and(|status| status.is_informational()) {
            break;
        }
    }
    match session.get_status() {
        Some(StatusCode::OK) => {}
        Some(StatusCode::NOT_MODIFIED) if etag.is_some() => return Ok(Fetched::Same),
        status => return Err(format!("it answered {}", status.map_or(0, |status| status.as_u16()))),
    }
    let etag = session.get_header(ETAG).cloned();
    let mut body = Vec::new();
    while let Some(chunk) = session.read_body_bytes().await.map_err(failed)? {
        if body.len() + chunk.len() > LARGEST {
            return Err(format!("it is larger than {} KiB", LARGEST / 1024));
        }
        body.extend_from_slice(&chunk);
    }
    session.shutdown().await;
    Ok(Fetched::New { body, etag })
}

fn request(url: &Url, accept: &'static str, etag: Option<&HeaderValue>) -> Result<RequestHeader, String> {
    let wrong = |_| "its URL makes no request".to_owned();
    let mut head = RequestHeader::build("GET", url.target.as_bytes(), Some(6)).map_err(wrong)?;
    head.insert_header(HOST, url.authority.as_str()).map_err(wrong)?;
    head.insert_header(ACCEPT, accept).map_err(wrong)?;
    head.insert_header(USER_AGENT, "frontgate").map_err(wrong)?;
    head.insert_header(CONNECTION, "close").map_err(wrong)?;
    if let Some(etag) = etag {
        head.insert_header(IF_NONE_MATCH, etag.clone()).map_err(wrong)?;
    }
    Ok(head)
}
