//! What plays the upstreams of a case: each connection that the gateway makes is answered here, over a stream in this process.

mod http2;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use frontgate_filters::clock;
use frontgate_filters::words::fields;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::model::{Answer, Fails, Texts};
use crate::config::model::UpstreamProtocol;
use crate::upstream::Pool;
use crate::upstream::cause::Cause;
use crate::upstream::connect;
use crate::upstream::pool::Endpoint;
use crate::upstream::timer;

/// How much a stream holds.
const ROOM: usize = 64 << 10;
/// The largest head that is read.
const MOST_LINES: usize = 256;

/// A request as an upstream was sent it.
#[derive(Clone, Debug)]
pub(in crate::suite) struct Got {
    /// The upstream.
    pub upstream: Arc<str>,
    /// The call that it is for, where it is for one.
    pub call: Option<Arc<str>>,
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The fields, `host` among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// What upstreams answer to one request, and what they were sent.
#[derive(Default)]
pub(in crate::suite) struct Script {
    /// The pools by name.
    pub pools: Vec<Arc<Pool>>,
    /// What each upstream answers, the next answer first; the last one stays.
    pub answers: HashMap<Arc<str>, Vec<Answer>>,
    /// What single calls are answered, likewise.
    pub calls: HashMap<Arc<str>, Vec<Answer>>,
    /// What came.
    pub got: Vec<Got>,
}

impl Script {
    /// What this upstream answers next, to this call where it is one, and whether that is used up.
    fn next(&mut self, upstream: &Arc<str>, call: Option<&Arc<str>>, used: bool) -> Answer {
        let own = call.and_then(|call| self.calls.get_mut(call));
        let Some(answers) = own.or_else(|| self.answers.get_mut(upstream)) else { return Answer::default() };
        match answers.len() {
            0 => Answer::default(),
            1 => answers[0].clone(),
            _ if used => answers.remove(0),
            _ => answers[0].clone(),
        }
    }
}

/// What is said of all requests.
pub(in crate::suite) type Shared = Arc<Mutex<Script>>;

/// A connection to an endpoint.
pub(in crate::suite) fn connected(script: &Shared, endpoint: &Endpoint) -> Result<DuplexStream, Cause> {
    let upstream = {
        let mut held = script.lock();
        let Some(pool) = held.pools.iter().find(|pool| pool.has(endpoint)) else { return Err(Cause::Unreachable) };
        let upstream = pool.name.clone();
        let call = connect::called();
        if held.next(&upstream, call.as_ref(), false).fails == Some(Fails::Connect) {
            held.next(&upstream, call.as_ref(), true);
            return Err(Cause::Refused);
        }
        upstream
    };
    let (ours, theirs) = tokio::io::duplex(ROOM);
    let (script, h2) = (script.clone(), endpoint.protocol == UpstreamProtocol::H2);
    tokio::spawn(async move {
        // Whoever breaks off has its reasons.
        let _ = if h2 { http2::serve(ours, &upstream, &script).await.is_ok() } else { serve(ours, &upstream, &script).await.is_ok() };
    });
    Ok(theirs)
}

/// Time passes, as far as nobody hangs up meanwhile. Whether somebody did.
async fn pass(stream: &mut DuplexStream, time: Duration) -> bool {
    let step = (time / 500).clamp(Duration::from_millis(1), Duration::from_millis(50));
    let mut left = time;
    let mut byte = [0_u8; 1];
    while !left.is_zero() {
        let by = step.min(left);
        left -= by;
        clock::put_forward(by);
        timer::sweep(clock::now());
        // Those whose time is over do what follows from that.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        let gone = tokio::select! {
            biased;
            read = stream.read(&mut byte) => read.unwrap_or(0) == 0,
            () = std::future::ready(()) => false,
        };
        if gone {
            return true;
        }
    }
    false
}

/// One request of HTTP/1.1 and its answer; the connection ends with it.
async fn serve(mut stream: DuplexStream, upstream: &Arc<str>, script: &Shared) -> io::Result<()> {
    let mut read = BytesMut::new();
    let (head, mut got) = loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
        if let Some(found) = head_of(&read, upstream)? {
            break found;
        }
    };
    let framing = |name: &str| got.headers.get(name).and_then(fields::text).map(str::to_owned);
    let (length, chunked) = (framing("content-length").and_then(|length| length.parse::<usize>().ok()), framing("transfer-encoding"));
    let mut body = read.split_off(head);
    got.body = match (chunked, length) {
        (Some(_), _) => loop {
            if let Some(whole) = unchunked(&body) {
                break whole;
            }
            if stream.read_buf(&mut body).await? == 0 {
                return Ok(());
            }
        },
        (None, length) => {
            while body.len() < length.unwrap_or(0) {
                if stream.read_buf(&mut body).await? == 0 {
                    return Ok(());
                }
            }
            body.freeze()
        }
    };
    let to_head = got.method == "HEAD";
    let answer = {
        let mut script = script.lock();
        let call = got.call.clone();
        script.got.push(got);
        script.next(upstream, call.as_ref(), true)
    };
    if let Some(slow) = answer.slow
        && pass(&mut stream, slow.0).await
    {
        return Ok(());
    }
    match answer.fails {
        Some(Fails::Close | Fails::Connect) => return Ok(()),
        Some(Fails::Garbage) => return stream.write_all(b"this is no HTTP\r\n\r\n").await,
        Some(Fails::Break) | None => {}
    }
    let (body, kind) = body_of(&answer);
    let mut out = format!("HTTP/1.1 {} \r\nconnection: close\r\n", answer.status);
    for (name, value) in fields_of(&answer, kind) {
        out += &format!("{name}: {value}\r\n");
    }
    let bodyless = to_head || answer.status < 200 || matches!(answer.status, 204 | 304);
    if !bodyless && !answer.trailers.is_empty() {
        out += "transfer-encoding: chunked\r\n";
    } else if !bodyless || to_head {
        let cut = usize::from(answer.fails.is_some());
        out += &format!("content-length: {}\r\n", body.len() + cut);
    }
    out += "\r\n";
    stream.write_all(out.as_bytes()).await?;
    if bodyless {
        return Ok(());
    }
    if answer.trailers.is_empty() {
        return stream.write_all(&body).await;
    }
    if !body.is_empty() {
        stream.write_all(format!("{:x}\r\n", body.len()).as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.write_all(b"\r\n").await?;
    }
    let trailers: String = answer.trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    stream.write_all(format!("0\r\n{trailers}\r\n").as_bytes()).await
}

/// A head that is whole, and where it ends.
fn head_of(read: &[u8], upstream: &Arc<str>) -> io::Result<Option<(usize, Got)>> {
    let mut lines = [httparse::EMPTY_HEADER; MOST_LINES];
    let mut request = httparse::Request::new(&mut lines);
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let httparse::Status::Complete(end) = request.parse(read).map_err(|_| wrong())? else { return Ok(None) };
    let mut headers = HeaderMap::new();
    for line in request.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| wrong())?;
        headers.append(name, HeaderValue::from_bytes(line.value).map_err(|_| wrong())?);
    }
    let got = Got {
        upstream: upstream.clone(),
        call: call_of(&mut headers),
        method: request.method.unwrap_or_default().to_owned(),
        target: request.path.unwrap_or_default().to_owned(),
        headers,
        body: Bytes::new(),
    };
    Ok(Some((end, got)))
}

/// The call that a request is for, which its fields then say no more.
fn call_of(headers: &mut HeaderMap) -> Option<Arc<str>> {
    headers.remove(connect::CALL).as_ref().and_then(fields::text).map(Arc::from)
}

/// A whole body out of its chunks; nothing while its end is not there.
fn unchunked(read: &[u8]) -> Option<Bytes> {
    let (mut body, mut rest) = (BytesMut::new(), read);
    loop {
        let line = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?.split(';').next()?.trim(), 16).ok()?;
        rest = &rest[line + 2..];
        if size == 0 {
            // Trailers, if any, and the empty line.
            return (rest.starts_with(b"\r\n") || rest.windows(4).any(|end| end == b"\r\n\r\n")).then(|| body.freeze());
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}

/// The body of an answer, and the media type that goes without saying.
fn body_of(answer: &Answer) -> (Bytes, Option<&'static str>) {
    match (&answer.json, &answer.body) {
        (Some(json), _) => (json.to_string().into(), Some("application/json")),
        (None, Some(text)) => (text.clone().into(), Some("text/plain; charset=utf-8")),
        (None, None) => (Bytes::new(), None),
    }
}

fn fields_of<'a>(answer: &'a Answer, kind: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let said = answer.headers.keys().any(|name| name.eq_ignore_ascii_case(CONTENT_TYPE.as_str()));
    let kind = kind.filter(|_| !said).map(|kind| (CONTENT_TYPE.as_str(), kind));
    let lines = answer.headers.iter().flat_map(|(name, Texts(lines))| lines.iter().map(move |line| (name.as_str(), line.as_str())));
    kind.into_iter().chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_chunks_is_whole_once_its_end_is_there() {
        let whole = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";

        assert_eq!(unchunked(whole).as_deref(), Some(&b"abcde"[..]));
        assert_eq!(unchunked(b"1\r\na\r\n0\r\nX: y\r\n\r\n").as_deref(), Some(&b"a"[..]));
        assert!((0..whole.len()).all(|end| unchunked(&whole[..end]).is_none()));
    }
}
