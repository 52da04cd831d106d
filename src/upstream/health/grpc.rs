//! The health checks of gRPC (`grpc.health.v1.Health/Check`): a server is asked whether one of its services serves, or all of it.
//!
//! Its two messages have a field each, so they are written and read here.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use frontgate_filters::grpc::Status;
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{Method, StatusCode};

use crate::upstream::cause::Cause;
use crate::upstream::h1::{Brief, Fault, Piece, Upload};
use crate::upstream::line::{self, Fields, Said};
use crate::upstream::pool::Endpoint;

/// What is called.
const METHOD: &[u8] = b"/grpc.health.v1.Health/Check";
/// The answer is a few bytes long: who sends more than this is no health service.
const MOST: usize = 1024;
/// The number of a status that says that the service serves.
const SERVING: u64 = 1;

/// Asks an endpoint about a service, by an empty name about all of it.
pub(super) async fn check(endpoint: &Arc<Endpoint>, service: &str, host: &str) -> Result<(), Cause> {
    let mut line = line::alone(endpoint).await?;
    line.begin(&Method::POST, METHOD, Upload::Chunked, &Check { host });
    line.upload(request(service), Upload::Chunked);
    line.end_upload(Upload::Chunked);
    // What was not taken may have been answered.
    let _ = poll_fn(|cx| line.poll_flush(cx)).await;
    let head = poll_fn(|cx| line.poll_final_head(cx)).await.and_then(Brief::into_whole).map_err(|fault| cause(&fault))?;
    if head.status != StatusCode::OK {
        return Err(Cause::Status(head.status.as_u16()));
    }
    let (mut body, mut status) = (BytesMut::new(), Status::read(&head.headers));
    loop {
        match poll_fn(|cx| line.poll_piece(cx)).await.map_err(|fault| cause(&fault))? {
            Piece::Data(data) if body.len() + data.len() > MOST => return Err(Cause::Unreadable),
            Piece::Data(data) => body.extend_from_slice(&data),
            Piece::Trailers(trailers) => {
                status = Status::read(&trailers).or(status);
                break;
            }
            Piece::End => break,
        }
    }
    match status {
        Some(Status::OK) => {}
        Some(status) => return Err(Cause::Grpc(status)),
        None => return Err(Cause::Unreadable),
    }
    match said(&body) {
        Some(SERVING) => Ok(()),
        Some(_) => Err(Cause::NotServing),
        None => Err(Cause::Unreadable),
    }
}

fn cause(fault: &Fault) -> Cause {
    match fault {
        Fault::Unwelcome(cause) => *cause,
        Fault::Malformed(why) => Cause::of_malformed(why),
        Fault::Closed(_) | Fault::Broken(_) | Fault::Refused => Cause::Closed,
    }
}

struct Check<'h> {
    host: &'h str,
}

impl Said for Check<'_> {
    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }

    fn fields<F: Fields>(&self, out: &mut F) {
        out.say(&CONTENT_TYPE, b"application/grpc");
        out.say(&TE, b"trailers");
        out.say(&USER_AGENT, b"frontgate-health");
    }
}

/// The message that asks, in its frame: field 1 is the service's name, and left out where that is empty.
fn request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(1 << 3 | 2);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8(length as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.extend_from_slice(&message);
    frame.freeze()
}

/// The status in a frame that answers: field 1, and 0 where that is left out; none where there is no message that can be read.
fn said(frame: &[u8]) -> Option<u64> {
    let (prefix, mut message) = frame.split_at_checked(5)?;
    // None was asked for that is compressed.
    let length = u32::from_be_bytes(prefix[1..].try_into().ok()?) as usize;
    if prefix[0] != 0 || message.len() != length {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let tag = number(&mut message)?;
        let skipped = match tag & 7 {
            0 => {
                let value = number(&mut message)?;
                if tag >> 3 == 1 {
                    status = value;
                }
                0
            }
            1 => 8,
            2 => usize::try_from(number(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        message = message.get(skipped..)?;
    }
    Some(status)
}

/// A number off the front, seven bits a byte.
fn number(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_server_is_asked_about_by_no_name() {
        assert_eq!(request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(request("a.B")[..], *b"\0\0\0\0\x05\x0a\x03a.B");
        let long = "x".repeat(300);
        let frame = request(&long);
        assert_eq!((&frame[..8], frame.len()), (&b"\0\0\0\x01\x2f\x0a\xac\x02"[..], 308));
    }

    #[test]
    fn only_what_says_that_it_serves_does() {
        for (frame, status) in [
            (&b"\0\0\0\0\x02\x08\x01"[..], Some(1)),
            (b"\0\0\0\0\x02\x08\x02", Some(2)),
            (b"\0\0\0\0\0", Some(0)),
            (b"\0\0\0\0\x06\x12\x02hi\x08\x01", Some(1)),
            (b"\0\0\0\0\x07\x1d....\x08\x01", Some(1)),
            (b"", None),
            (b"\0\0\0\0\x02\x08", None),
            (b"\0\0\0\0\x01\x08", None),
            (b"\x01\0\0\0\x02\x08\x01", None),
            (b"\0\0\0\0\x03\x12\x09x", None),
            (b"\0\0\0\0\x02\x08\x01\x08", None),
            (b"\0\0\0\0\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ] {
            assert_eq!(said(frame), status, "{frame:?}");
        }
    }
}
