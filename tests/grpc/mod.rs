//! gRPC through the gateway, from a client of the `h2` crate: what is refused and how, what a call's end says, what does not end a stream.

mod endings;
mod health;
mod real;
mod refusals;
mod web;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request};

/// What a client was told.
#[derive(Debug)]
pub struct Told {
    status: u16,
    head: HeaderMap,
    /// Whether the head was the end.
    is_head_alone: bool,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Told {
    /// A field of the head or of the trailers.
    pub fn says(&self, name: &str) -> Option<&str> {
        let trailer = self.trailers.as_ref().and_then(|trailers| trailers.get(name));
        std::str::from_utf8(self.head.get(name).or(trailer)?.as_bytes()).ok()
    }

    /// What came of the call.
    pub fn grpc_status(&self) -> Option<u16> {
        self.says("grpc-status")?.parse().ok()
    }

    /// Asserts that this is a refusal as clients of gRPC need one, with this status.
    #[track_caller]
    fn is_refusal(&self, grpc_status: u16) -> &Self {
        assert_eq!((self.status, self.is_head_alone, self.grpc_status()), (200, true, Some(grpc_status)), "{self:?}");
        assert_eq!(self.says("content-type"), Some("application/grpc+proto"), "{self:?}");
        assert!(self.says("grpc-message").is_some_and(|message| !message.is_empty()) && self.says("x-request-id").is_some(), "{self:?}");
        assert!(self.body.is_empty() && self.trailers.is_none(), "{self:?}");
        self
    }
}

/// A message in its frame.
fn message(text: &[u8]) -> Bytes {
    [&[0], &(text.len() as u32).to_be_bytes()[..], text].concat().into()
}

/// A call's head.
fn head(path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::post(format!("http://a.example{path}"));
    if !fields.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/grpc+proto");
    }
    request = request.header("te", "trailers");
    fields.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap()
}

/// Begins a call.
fn begin(client: &mut SendRequest<Bytes>, path: &str, fields: &[(&str, &str)]) -> (ResponseFuture, SendStream<Bytes>) {
    client.send_request(head(path, fields), false).unwrap()
}

/// Brings what the client is told.
async fn told(answer: ResponseFuture) -> Result<Told, h2::Error> {
    let (head, mut stream) = answer.await?.into_parts();
    let mut told =
        Told { status: head.status.as_u16(), head: head.headers, is_head_alone: stream.is_end_stream(), body: Vec::new(), trailers: None };
    while let Some(data) = stream.data().await {
        let data = data?;
        told.body.extend_from_slice(&data);
        stream.flow_control().release_capacity(data.len())?;
    }
    told.trailers = stream.trailers().await?;
    Ok(told)
}

/// A call of one message.
pub async fn unary(client: &mut SendRequest<Bytes>, path: &str, fields: &[(&str, &str)]) -> Result<Told, h2::Error> {
    let (answer, mut upload) = begin(client, path, fields);
    // An answer may come before it.
    let _ = upload.send_data(message(b"hello"), true);
    told(answer).await
}
