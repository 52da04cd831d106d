//! Calls as gRPC makes them, to an upstream of HTTP/2.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};

use super::actors::{Round, Scene};
use super::secure::secured;
use crate::exchange::dice::Dice;
use crate::harness::PATIENCE;
use crate::harness::http2_origin::{Http2Origin, send_all};
use crate::websocket::socket::{http2, run_within};

/// A service that says back what it is told.
pub fn service() -> Http2Origin {
    Http2Origin::start(|mut asked| async move {
        let (body, _) = asked.read().await;
        let mut stream = asked.head(200, &[("content-type", "application/grpc")], false);
        if send_all(&mut stream, body.into(), false).await {
            let _ = stream.send_trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]));
        }
    })
}

/// Calls one after the other on one connection, and of those who may not.
pub fn call(scene: &Scene, dice: &mut Dice) -> Round {
    run_within(PATIENCE * 4, async {
        let mut client = if dice.percent(50) { secured(scene).await } else { http2(scene.address).await };
        for index in 0..10 {
            client = client.ready().await.map_err(|error| error.to_string())?;
            let allowed = index % 5 != 4;
            let length = dice.pick(&[0, 1, 1_000, 100_000]);
            let mut said = BytesMut::new();
            said.put_u8(0);
            said.put_u32(length as u32);
            said.extend_from_slice(&dice.bytes(length));
            let request = http::Request::post("http://shop.example/calls.Echo/Say")
                .header("content-type", "application/grpc")
                .header("te", "trailers");
            let request = if allowed { request.header("authorization", format!("Bearer {}", scene.token)) } else { request };
            let (answer, mut stream) =
                client.send_request(request.body(()).map_err(|error| error.to_string())?, false).map_err(|error| error.to_string())?;
            // Who is refused need not be read to the end.
            let sent = send_all(&mut stream, said.clone().freeze(), true).await;
            let (heard, status) = told(answer).await.map_err(|error| format!("a call of {length} bytes: {error}"))?;
            let right = if allowed { sent && status == "0" && heard == said } else { status == "16" && heard.is_empty() };
            if !right {
                return Err(format!("status {status:?} and {} bytes for {length}, allowed: {allowed}", heard.len()));
            }
        }
        Ok(())
    })
}

/// The whole answer to a call, and its status.
async fn told(answer: h2::client::ResponseFuture) -> Result<(Vec<u8>, String), h2::Error> {
    let (head, mut stream) = answer.await?.into_parts();
    let mut heard = Vec::new();
    while let Some(data) = stream.data().await {
        let data: Bytes = data?;
        heard.extend_from_slice(&data);
        stream.flow_control().release_capacity(data.len())?;
    }
    let trailers = stream.trailers().await?.unwrap_or_default();
    let status = trailers.get("grpc-status").or(head.headers.get("grpc-status"));
    Ok((heard, status.map_or(String::new(), |status| String::from_utf8_lossy(status.as_bytes()).into_owned())))
}
