//! One bounded request for what a URL names, and the GET of a document: by the same pools, retries and deadlines as every call. Certificates are
//! verified against the system's roots.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use frontgate_filters::words::condition::Condition;
use frontgate_filters::words::fields;
use frontgate_filters::words::spanned::Spanned;
use frontgate_filters::words::units::{Duration as Written, Share};
use frontgate_filters::words::url::Url;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, HOST, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};

use crate::config::model::{Balance, FirstByte, Retry, Upstream, UpstreamTimeouts};
use crate::discovery::dns::Dns;
use crate::telemetry::Metrics;
use crate::upstream::call::{Answer, Answered, Call, NoAnswer, call};
use crate::upstream::tls::Tls;
use crate::upstream::{Found, NoPick, Pool};

/// The most that an answer may hold.
const LARGEST: usize = 512 * 1024;
/// The most that all of it may take.
pub(super) const LONGEST: Duration = Duration::from_secs(5);
/// How many of a name's addresses are tried.
pub(crate) const ADDRESSES: u32 = 4;

/// What came.
pub(super) enum Fetched {
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

/// The pool of a URL's host, where a request may take so long. Its endpoints are the addresses that the host's name has at each request.
pub(crate) fn pool(name: &str, url: &Url, metrics: &Metrics, longest: Duration) -> Arc<Pool> {
    let timeouts = UpstreamTimeouts {
        connect: Written(longest / 2),
        first_byte: FirstByte::Fixed(Written(longest)),
        between_bytes: Written(longest),
        total: None,
        // From one request to the next nobody keeps a connection open.
        idle: Written(Duration::ZERO),
        stream_idle: None,
    };
    let attempts = NonZeroU32::MIN.saturating_add(ADDRESSES - 1);
    let retry = Retry { attempts, when: vec![Condition::ConnectFailure], budget: Share(1.0) };
    let config = Upstream {
        endpoints: Vec::new(),
        discover: None,
        balance: Balance::RoundRobin,
        health: None,
        required: false,
        outlier: None,
        slow_start: None,
        panic: true,
        max_connections: None,
        retry: Some(Spanned::nowhere(retry)),
        timeouts,
        host: None,
        protocol: None,
        tls: None,
    };
    let tls = if url.tls { Tls::of_host(&url.host) } else { None };
    Arc::new(Pool::new(name, &config, tls, metrics, None))
}

/// Fetches what is there, as one of the media types in `accept`; `etag` is what was there before. The error is for the log, and holds nothing
/// of the answer.
pub(super) async fn get(
    pool: &Arc<Pool>,
    dns: &Dns,
    url: &Url,
    accept: &'static str,
    etag: Option<&HeaderValue>,
) -> Result<Fetched, String> {
    let mut fields = HeaderMap::with_capacity(5);
    fields.insert(ACCEPT, HeaderValue::from_static(accept));
    if let Some(etag) = etag {
        fields.insert(IF_NONE_MATCH, etag.clone());
    }
    let wish = Wish { method: Method::GET, fields, body: Bytes::new(), most: LARGEST, deadline: Instant::now() + LONGEST };
    let answer = ask(pool, dns, url, wish).await?;
    let mut codings = fields::list(&answer.head.headers, &CONTENT_ENCODING);
    match answer.head.status.as_u16() {
        200 if codings.any(|coding| !coding.eq_ignore_ascii_case(b"identity")) => {
            Err("it is compressed, which was not asked for".to_owned())
        }
        200 => Ok(Fetched::New { body: answer.body.to_vec(), etag: answer.head.headers.get(ETAG).cloned() }),
        304 if etag.is_some() => Ok(Fetched::Same),
        status => Err(format!("it answered {status}")),
    }
}

/// A request to what a URL names.
pub(crate) struct Wish {
    /// The method.
    pub method: Method,
    /// The fields, without those that every such request has.
    pub fields: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The most bytes of an answer.
    pub most: usize,
    /// Until when it has to be there.
    pub deadline: Instant,
}

/// Asks once at each of the addresses that the host's name has now, until a connection to one comes about; a method that is not idempotent
/// at one of them alone. The error is for the log, and holds nothing of the answer.
pub(crate) async fn ask(pool: &Arc<Pool>, dns: &Dns, url: &Url, wish: Wish) -> Result<Answer, String> {
    if url.tls && pool.tls().is_none() {
        return Err("its host cannot be the name in a certificate".to_owned());
    }
    let (deadline, most) = (wish.deadline, wish.most);
    let patience = deadline.saturating_duration_since(Instant::now());
    let late = || format!("it took longer than {} s", patience.as_secs_f64().round().max(1.0));
    let addresses = tokio::time::timeout_at(deadline.into(), dns.connectable(&url.host)).await.map_err(|_| late())?;
    let addresses = addresses.map_err(|why| format!("its name cannot be resolved: {why}"))?;
    let found = |ip| Found { address: SocketAddr::new(ip, url.port), weight: 1, version: None, name: None };
    let endpoints: Vec<Found> = addresses.into_iter().take(ADDRESSES as usize).map(found).collect();
    pool.change(&endpoints, Instant::now());

    let mut fields = wish.fields;
    let host = HeaderValue::from_str(&url.authority).map_err(|_| "its URL makes no request".to_owned())?;
    fields.insert(HOST, host);
    // Without it any coding would be as good (RFC 9110, section 12.5.3).
    fields.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    fields.insert(USER_AGENT, HeaderValue::from_static("frontgate"));
    let request = Call {
        method: wish.method,
        target: url.target.as_bytes(),
        fields,
        body: wish.body,
        hash: None,
        deadline,
        most,
        answered: Answered::Kept,
        again: true,
    };
    call(pool, &request).await.map_err(|why| match why {
        NoAnswer::NoEndpoint(NoPick::NoEndpoint) => "its name has no address".to_owned(),
        NoAnswer::NoEndpoint(NoPick::Full) | NoAnswer::Unreachable | NoAnswer::Broken => "it cannot be reached".to_owned(),
        NoAnswer::Timeout => late(),
        NoAnswer::TooLarge | NoAnswer::NoMemory => format!("it is larger than {} KiB", most / 1024),
        NoAnswer::Malformed(why) => format!("its answer cannot be read: {why}"),
    })
}
