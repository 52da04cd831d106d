//! A request's head: checked once, its fields slices of the read buffer.

use bytes::{Buf, Bytes};
use frontgate_filters::words::fields::members;
use http::header::{CONNECTION, EXPECT, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use pingora_http::RequestHeader;

use super::{H1, Next};
use crate::door::wire::{BodyScan, Framing, HANDSHAKE, Lines, Refusal, check_head, split_header};
use crate::upstream::h1::{Decoder, Framing as Framed, drop_nominated, is_of_this_hop};
use crate::websocket::AsksForAnother;

/// What an HTTP/2 connection with prior knowledge begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl H1 {
    /// A whole head off the front of what was read; none where more bytes are needed.
    pub(super) fn take_head(&mut self, h2: bool) -> Result<Option<Next>, Refusal> {
        if h2 && self.input[..self.input.len().min(PREFACE.len())] == PREFACE[..self.input.len().min(PREFACE.len())] {
            return Ok((self.input.len() >= PREFACE.len()).then_some(Next::Http2));
        }
        // It may have no line end for as long as it goes on.
        if self.input.first() == Some(&HANDSHAKE) {
            return Err(Refusal::TLS);
        }
        let Some((start, end)) = self.head.find(&self.input, self.rules.head)? else { return Ok(None) };
        self.framing = check_head(&self.input[start..end], self.rules.head)?;
        self.scan = BodyScan::new(self.framing);
        self.decoder = Decoder::new(match self.framing {
            Framing::None => Framed::None,
            Framing::Length(length) => Framed::Length(length),
            Framing::Chunked => Framed::Chunked,
        });
        let mut head = self.input.split_to(end).freeze();
        head.advance(start);
        self.request(head).map(|request| Some(Next::Request(request)))
    }

    /// The request of a head that was checked.
    fn request(&mut self, head: Bytes) -> Result<RequestHeader, Refusal> {
        let at = |part: &[u8]| {
            let from = part.as_ptr() as usize - head.as_ptr() as usize;
            head.slice(from..from + part.len())
        };
        let mut lines = Lines::new(&head);
        let line = lines.next().unwrap_or_default();
        let mut words = line.split(|byte| *byte == b' ');
        let (method, target, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next());
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = Method::from_bytes(method).map_err(|_| Refusal::UNREADABLE)?;
        parts.version = if version == Some(b"HTTP/1.0") { Version::HTTP_10 } else { Version::HTTP_11 };
        let fields = memchr::memchr_iter(b'\n', &head).count();
        // Room for what the filters add.
        let mut map = HeaderMap::with_capacity(fields + 4);
        self.keep = parts.version == Version::HTTP_11;
        let (mut nominated, mut upgrades, mut closes) = (false, false, false);
        for line in lines {
            if line.is_empty() {
                break;
            }
            let (name, value) = split_header(line)?;
            let name = HeaderName::from_bytes(name).map_err(|_| Refusal::UNREADABLE)?;
            match name {
                CONNECTION => {
                    for option in members(value) {
                        if option.eq_ignore_ascii_case(b"close") {
                            closes = true;
                        } else if option.eq_ignore_ascii_case(b"keep-alive") {
                            self.keep |= parts.version == Version::HTTP_10;
                        } else if option.eq_ignore_ascii_case(b"upgrade") {
                            upgrades = true;
                        } else {
                            nominated = true;
                        }
                    }
                }
                EXPECT => self.expects |= members(value).any(|member| member.eq_ignore_ascii_case(b"100-continue")),
                TRANSFER_ENCODING => continue,
                _ if is_of_this_hop(&name) => continue,
                _ => {}
            }
            map.append(name, HeaderValue::from_maybe_shared(at(value)).map_err(|_| Refusal::UNREADABLE)?);
        }
        if nominated {
            drop_nominated(&mut map);
        }
        self.keep &= !closes;
        self.wants_more = self.keep;
        map.remove(CONNECTION);
        let upgrade = map.remove(UPGRADE);
        self.upgrade = upgrade.filter(|_| upgrades && parts.version == Version::HTTP_11 && self.scan.is_done());
        if self.upgrade.is_some() {
            parts.extensions.insert(AsksForAnother);
        }
        self.version = parts.version;
        parts.headers = map;
        let is_path = target.starts_with(b"/");
        if is_path {
            parts.uri = Uri::from_maybe_shared(at(target)).unwrap_or_default();
        }
        let holds = parts.uri.path_and_query().is_some_and(|path| path.as_str().as_bytes() == target);
        let mut request = RequestHeader::from(parts);
        if !holds {
            request.set_raw_path(target).map_err(|_| Refusal::UNREADABLE)?;
        }
        Ok(request)
    }
}
