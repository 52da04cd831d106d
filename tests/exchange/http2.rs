//! The same cases for a client of HTTP/2: each request is a stream, all of a case at once.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use tokio::net::TcpStream;

use super::client::name;
use super::oracle::{differ, gone, received, values};
use super::origin::Came;
use super::plan::{Asked, Case, Cut, Fields, Framing, Leave, PAUSE, Turn};
use super::wire::trim;

/// How long a stream may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer as it came.
#[derive(Debug)]
pub struct Met {
    status: u16,
    fields: Fields,
    body: Vec<u8>,
    trailers: Fields,
    /// None where it was whole.
    broken: Option<String>,
}

/// The case as HTTP/2 can say it.
pub fn adapt(mut case: Case) -> Case {
    // Hundreds of frames of one byte are taken for an attack.
    case.cuts.every = false;
    if case.turns.last().is_some_and(|turn| turn.asked.body.framing == Framing::Length && turn.asked.body.bytes.is_empty()) {
        // Nothing of such a request is missing once its head is there.
        case.leaves = None;
    }
    for turn in &mut case.turns {
        let asked = &mut turn.asked;
        (asked.old, asked.close, asked.keep_alive, asked.expects, asked.waits) = (false, false, false, false, false);
        asked.host.get_or_insert_with(|| "a.example".to_owned());
        asked.nominated.clear();
        asked.dropped.retain(|(name, _)| !["Keep-Alive", "Proxy-Connection", "Upgrade"].contains(&&**name) && !name.starts_with("X-Hop"));
        for (_, value) in asked.fields.iter_mut().chain(&mut asked.dropped).chain(&mut asked.body.trailers) {
            *value = trim(value).to_vec();
        }
        turn.script.hundred = false;
    }
    case
}

/// Plays the case: an answer for each request, or why there is none.
pub async fn play(case: &Case, address: SocketAddr) -> Vec<Result<Met, String>> {
    let socket = TcpStream::connect(address).await.expect("the gateway listens");
    let _ = socket.set_nodelay(true);
    let (client, connection) = h2::client::handshake(socket).await.expect("HTTP/2 is spoken");
    let connection = tokio::spawn(connection);
    let streams: Vec<_> = (0..case.turns.len())
        .map(|index| {
            let (case, client) = (case.clone(), client.clone());
            tokio::spawn(async move { tokio::time::timeout(PATIENCE, stream(&case, index, client)).await })
        })
        .collect();
    let mut met = Vec::new();
    for stream in streams {
        met.push(stream.await.expect("the stream's task ends").unwrap_or_else(|_| Err("it took too long".to_owned())));
    }
    connection.abort();
    met
}

async fn stream(case: &Case, index: usize, client: SendRequest<Bytes>) -> Result<Met, String> {
    let asked = &case.turns[index].asked;
    let leave = case.leaves.filter(|_| index + 1 == case.turns.len());
    let mut client = client.ready().await.map_err(|error| error.to_string())?;
    let ends = asked.body.framing == Framing::None && leave.is_none();
    let (answer, mut upload) = client.send_request(request(asked, &name(case, index)), ends).map_err(|error| error.to_string())?;
    if let Some(leave) = leave {
        abandon(&mut upload, asked, leave).await;
        return Err("the client has left".to_owned());
    }
    let sending = async {
        if !ends {
            // Whoever has answered early takes no more, and says so.
            let _ = send(&mut upload, case, asked).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = sending => unreachable!("it waits for the answer"),
        met = read(answer, case) => met,
    }
}

/// Sends a part of the body, and goes.
async fn abandon(upload: &mut SendStream<Bytes>, asked: &Asked, leave: Leave) {
    let part = asked.body.bytes.len().saturating_sub(1) * leave.share / 1000;
    let _ = upload.send_data(Bytes::copy_from_slice(&asked.body.bytes[..part]), false);
    tokio::time::sleep(PAUSE).await;
    upload.send_reset(Reason::CANCEL);
}

fn request(asked: &Asked, name: &str) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(asked.method.as_bytes()).expect("a method");
    *request.uri_mut() = format!("http://{}{}", asked.host.as_deref().unwrap_or_default(), asked.path).parse::<Uri>().expect("a target");
    *request.headers_mut() = map(asked.fields.iter().chain(&asked.dropped));
    request.headers_mut().insert(Asked::NAME, HeaderValue::from_str(name).expect("a value"));
    if asked.body.framing == Framing::Length {
        request.headers_mut().insert(http::header::CONTENT_LENGTH, asked.body.bytes.len().into());
    }
    request
}

fn map<'f>(fields: impl Iterator<Item = &'f (String, Vec<u8>)>) -> HeaderMap {
    let name = |name: &str| HeaderName::from_bytes(name.as_bytes()).expect("a name");
    fields.map(|(key, value)| (name(key), HeaderValue::from_bytes(value).expect("a value"))).fold(
        HeaderMap::new(),
        |mut map, (key, value)| {
            map.append(key, value);
            map
        },
    )
}

/// Sends the body in frames that are cut as the case says, as fast as it is taken.
async fn send(upload: &mut SendStream<Bytes>, case: &Case, asked: &Asked) -> Result<(), h2::Error> {
    let mut frames = Vec::new();
    case.cuts.each(&asked.body.bytes, |part| {
        frames.push(Bytes::copy_from_slice(part));
        true
    });
    for mut frame in frames {
        while !frame.is_empty() {
            upload.reserve_capacity(frame.len());
            let Some(room) = std::future::poll_fn(|cx| upload.poll_capacity(cx)).await else { return Ok(()) };
            upload.send_data(frame.split_to(room?.min(frame.len())), false)?;
        }
    }
    match asked.body.trailers.is_empty() {
        true => upload.send_data(Bytes::new(), true),
        false => upload.send_trailers(map(asked.body.trailers.iter())),
    }
}

async fn read(answer: h2::client::ResponseFuture, case: &Case) -> Result<Met, String> {
    let (head, mut stream) = answer.await.map_err(|error| error.to_string())?.into_parts();
    let mut met =
        Met { status: head.status.as_u16(), fields: fields(&head.headers), body: Vec::new(), trailers: Fields::new(), broken: None };
    met.broken = body(&mut stream, &mut met.body, &mut met.trailers, case).await.err().map(|error| error.to_string());
    Ok(met)
}

async fn body(stream: &mut RecvStream, body: &mut Vec<u8>, trailers: &mut Fields, case: &Case) -> Result<(), h2::Error> {
    let mut reads = 0;
    while let Some(data) = stream.data().await {
        let data = data?;
        body.extend_from_slice(&data);
        reads += 1;
        if case.pause_reading > 0 && reads % case.pause_reading == 0 {
            tokio::time::sleep(PAUSE).await;
        }
        stream.flow_control().release_capacity(data.len())?;
    }
    *trailers = stream.trailers().await?.as_ref().map(fields).unwrap_or_default();
    Ok(())
}

fn fields(map: &HeaderMap) -> Fields {
    map.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

/// What is wrong with a case.
pub fn check(case: &Case, met: &[Result<Met, String>], came: &[Vec<Came>], origin: SocketAddr) -> Vec<String> {
    let mut wrong = Vec::new();
    for (index, turn) in case.turns.iter().enumerate() {
        let mut say = |what: String| wrong.push(format!("stream {index}: {what}"));
        if case.leaves.is_some() && index + 1 == case.turns.len() {
            gone(&came[index], &mut say);
            continue;
        }
        received(&one_cookie(turn), "2.0", &came[index], origin, &mut say);
        match &met[index] {
            Ok(met) => answered(turn, met, &mut say),
            // A reset overtakes what was not sent, even a head.
            Err(_) if turn.script.cut.is_some_and(|cut| !cut.in_head) => {}
            Err(why) => say(format!("no answer: {why}")),
        }
    }
    wrong
}

/// HTTP/1 has one field for all crumbs of a cookie (RFC 9113, section 8.2.3).
fn one_cookie(turn: &Turn) -> Turn {
    let mut turn = turn.clone();
    let (crumbs, mut others): (Fields, Fields) = turn.asked.fields.into_iter().partition(|(name, _)| name.eq_ignore_ascii_case("cookie"));
    if !crumbs.is_empty() {
        let values: Vec<Vec<u8>> = crumbs.into_iter().map(|(_, value)| value).collect();
        others.push(("cookie".to_owned(), values.join(&b"; "[..])));
    }
    turn.asked.fields = others;
    turn
}

fn answered(turn: &Turn, met: &Met, say: &mut impl FnMut(String)) {
    let script = &turn.script;
    if matches!(script.cut, Some(Cut { in_head: true, .. })) {
        if met.status != 502 || met.broken.is_some() {
            say(format!("without an answer of the origin's the client met {} ({:?})", met.status, met.broken));
        }
        return;
    }
    if met.status != script.status {
        return say(format!("{} instead of {}", met.status, script.status));
    }
    let mut expected = values(&script.fields, &["date"]);
    if script.body.framing == Framing::Length {
        expected.entry("content-length".to_owned()).or_default().push(script.body.bytes.len().to_string());
    }
    differ("the client saw", &values(&met.fields, &["x-request-id", "date"]), &expected, say);
    let body = if script.has_body(&turn.asked.method) { &script.body.bytes[..] } else { &[] };
    match (&script.cut, &met.broken) {
        (None, None) if met.body == body => {}
        (None, _) => say(format!("{} of {} bytes of the body, then {:?}", met.body.len(), body.len(), met.broken)),
        (Some(_), None) => say(format!("a body that was cut looks whole with {} of {} bytes", met.body.len(), body.len())),
        (Some(_), Some(_)) if body.starts_with(&met.body) => {}
        (Some(_), Some(_)) => say("a body that was cut is another one".to_owned()),
    }
    let trailers = if script.has_body(&turn.asked.method) { values(&script.body.trailers, &[]) } else { values(&Fields::new(), &[]) };
    if script.cut.is_none() {
        differ("the trailers had", &values(&met.trailers, &[]), &trailers, say);
    }
}
