//! `grpc_web`: calls of gRPC-Web, as pages make them, for upstreams that speak gRPC.
//!
//! ```yaml
//! browser:
//!   grpc_web: {}
//! ```
//!
//! A browser reads no trailers, so gRPC-Web has them in the last frame of the body, and all of the body in base64 where the page asks for text
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>). Messages stream both ways: none is held back once it is whole. What is
//! no call of gRPC-Web passes untouched.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use pingora_http::ResponseHeader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::filter::build::Build;
use crate::filter::options::{Options, Placement};
use crate::filter::{Filter, Flow, Request, ResponseFilter, Verdict, Want};
use crate::grpc::web::{Decoder, Encoder, trailers};
use crate::grpc::{Messages, STATUS_FIELDS, Wire, suffix_of, wire_of};
use crate::head;
use crate::reply::Reply;

/// The options of `grpc_web`: there are none.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

impl Options for Config {
    fn build(&self, with: &Build<'_>) -> Result<Arc<dyn Filter>, String> {
        with.kept_or(|| Ok(GrpcWeb))
    }

    fn placement(&self) -> Vec<Placement> {
        vec![Placement::Once]
    }

    fn needs_grpc(&self) -> bool {
        true
    }
}

/// The filter.
pub struct GrpcWeb;

impl Filter for GrpcWeb {
    fn request<'a>(&'a self, request: &'a mut Request<'_>) -> Verdict<'a> {
        let wire = request.facts.grpc.as_ref().map(|call| call.wire);
        let is_text = match wire {
            Some(Wire::Web) => false,
            Some(Wire::WebText) => true,
            Some(Wire::Plain) => {
                request.because(|| "the call is gRPC already");
                return Verdict::Continue;
            }
            None => {
                request.because(|| "the request is no call of gRPC-Web");
                return Verdict::Continue;
            }
        };
        let fields = &request.head.headers;
        let content_type = fields.get(CONTENT_TYPE).map(|asked| of_type(b"application/grpc", suffix_of(asked.as_bytes())));
        if let Some(content_type) = content_type {
            request.head.insert_header(CONTENT_TYPE, content_type).expect("a known name and a checked value");
        }
        if is_text {
            request.head.remove_header(&CONTENT_LENGTH);
        }
        request.because(|| if is_text { "a call of gRPC-Web in base64 becomes gRPC" } else { "a call of gRPC-Web becomes gRPC" });
        Verdict::ContinueWith(Box::new(Web {
            upload: is_text.then(Decoder::default),
            answer: is_text.then(Encoder::default),
            messages: Messages::default(),
            said: None,
        }))
    }
}

/// A media type with what followed the name of another.
fn of_type(name: &[u8], suffix: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(&[name, suffix].concat()).expect("parts of header values")
}

/// One call: its request is read from base64, and its answer becomes what pages read.
struct Web {
    /// Where the request is text.
    upload: Option<Decoder>,
    /// Where the answer is to be.
    answer: Option<Encoder>,
    /// Where the answer's messages end: text is padded there, so that no message waits for the next one.
    messages: Messages,
    /// What the answer's last frame says.
    said: Option<HeaderMap>,
}

impl ResponseFilter for Web {
    fn rewrites_upload(&self) -> bool {
        self.upload.is_some()
    }

    fn upload(&mut self, body: &mut Option<Bytes>, last: bool) -> Flow {
        let Some(decoder) = &mut self.upload else { return Flow::Go };
        if let Some(text) = body {
            match decoder.take(text) {
                Ok(bytes) => *text = bytes,
                Err(_) => return Flow::Abort(not_text()),
            }
        }
        if last && !decoder.is_whole() { Flow::Abort(not_text()) } else { Flow::Go }
    }

    fn head(&mut self, head: &mut ResponseHeader) -> Want {
        self.said = None;
        let content_type = head.headers.get(CONTENT_TYPE).filter(|value| wire_of(value.as_bytes()) == Some(Wire::Plain));
        let Some(content_type) = content_type else { return Want::Nothing };
        let name: &[u8] = if self.answer.is_some() { b"application/grpc-web-text" } else { b"application/grpc-web" };
        let content_type = of_type(name, suffix_of(content_type.as_bytes()));
        let mut said = HeaderMap::new();
        head::with_map(head, |fields| {
            fields.insert(CONTENT_TYPE, content_type);
            fields.remove(CONTENT_LENGTH);
            // A head that is all of the answer says what came of the call.
            for name in STATUS_FIELDS {
                if let Some(value) = fields.remove(&name) {
                    said.insert(name, value);
                }
            }
        });
        self.said = Some(said).filter(|said| !said.is_empty());
        Want::Chunks
    }

    fn trailers(&mut self, trailers: &mut Option<HeaderMap>) {
        if let Some(trailers) = trailers.take() {
            self.said = Some(trailers);
        }
    }

    fn body(&mut self, body: &mut Option<Bytes>, last: bool) -> Flow {
        let mut bytes = body.take().unwrap_or_default();
        let _ = self.messages.take(&bytes, u64::MAX);
        if last && let Some(said) = self.said.take() {
            let frame = trailers(&said);
            bytes = if bytes.is_empty() { frame } else { joined(&bytes, &frame) };
        }
        if let Some(encoder) = &mut self.answer {
            bytes = encoder.take(&bytes, last || self.messages.is_whole());
        }
        *body = Some(bytes);
        Flow::Go
    }
}

fn joined(first: &[u8], second: &[u8]) -> Bytes {
    let mut both = BytesMut::with_capacity(first.len() + second.len());
    both.extend_from_slice(first);
    both.extend_from_slice(second);
    both.freeze()
}

/// The answer to what was to be base64 and is not.
fn not_text() -> Reply {
    Reply::problem(StatusCode::BAD_REQUEST, "bad_request", "The call is not base64.")
}

#[cfg(test)]
mod tests;
