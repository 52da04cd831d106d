//! Upstreams that speak HTTP/2.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use h2::{Error, Reason};
use http::{HeaderName, HeaderValue, Response};
use tokio::io::DuplexStream;

use super::{Got, Shared, body_of, call_of, fields_of, pass};
use crate::suite::model::Fails;

/// Requests of HTTP/2 and their answers.
pub(super) async fn serve(stream: DuplexStream, upstream: &Arc<str>, script: &Shared) -> Result<(), Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        let (upstream, script) = (upstream.clone(), script.clone());
        tokio::spawn(async move {
            let _ = answer(request, respond, &upstream, &script).await;
        });
    }
    Ok(())
}

async fn answer(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    upstream: &Arc<str>,
    script: &Shared,
) -> Result<(), Error> {
    let (head, mut stream) = request.into_parts();
    let mut body = BytesMut::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        body.extend_from_slice(&data);
        let _ = stream.flow_control().release_capacity(data.len());
    }
    let mut headers = head.headers;
    if let Some(host) = head.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()) {
        headers.entry(http::header::HOST).or_insert(host);
    }
    let target = head.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let call = call_of(&mut headers);
    let got = Got { upstream: upstream.clone(), call: call.clone(), method: head.method.to_string(), target, headers, body: body.freeze() };
    let answer = {
        let mut script = script.lock();
        script.got.push(got);
        script.next(upstream, call.as_ref(), true)
    };
    if let Some(slow) = answer.slow {
        let (mut waiting, _other) = tokio::io::duplex(1);
        pass(&mut waiting, slow.0).await;
    }
    if answer.fails.is_some_and(|fails| fails != Fails::Break) {
        respond.send_reset(Reason::INTERNAL_ERROR);
        return Ok(());
    }
    let (body, kind) = body_of(&answer);
    let mut response = Response::builder().status(answer.status);
    for (name, value) in fields_of(&answer, kind) {
        response = response.header(name, value);
    }
    let response = response.body(()).map_err(|_| Error::from(Reason::INTERNAL_ERROR))?;
    let ends = body.is_empty() && answer.trailers.is_empty() && answer.fails.is_none();
    let mut sending = respond.send_response(response, ends)?;
    if ends {
        return Ok(());
    }
    if !body.is_empty() {
        sending.send_data(body, answer.trailers.is_empty() && answer.fails.is_none())?;
    } else if answer.trailers.is_empty() && answer.fails.is_none() {
        sending.send_data(Bytes::new(), true)?;
    }
    if answer.fails.is_some() {
        sending.send_reset(Reason::INTERNAL_ERROR);
    } else if !answer.trailers.is_empty() {
        let parsed = answer
            .trailers
            .iter()
            .map(|(name, value)| Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?)));
        sending.send_trailers(parsed.flatten().collect())?;
    }
    Ok(())
}
