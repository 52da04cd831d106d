//! A request's head and body on their way to an upstream.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Method};

use super::{Connection, ROOM, spare};

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upload {
    /// There is none.
    None,
    /// So many bytes are left.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// A header field's line.
pub(crate) fn put_field(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A number in digits.
pub(super) fn put_number(out: &mut BytesMut, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A chunk's size and the line break after it.
pub(crate) fn put_chunk_size(out: &mut BytesMut, size: usize) {
    let mut digits = [0_u8; 16];
    let (mut at, mut number) = (digits.len(), size);
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[number & 15];
        number >>= 4;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

impl Connection {
    /// Begins a request: its line, then the fields that `fields` puts, then how its body is framed.
    pub(crate) fn begin(&mut self, method: &Method, target: &[u8], upload: Upload, fields: impl FnOnce(&mut BytesMut)) {
        self.to_head = method == Method::HEAD;
        (self.keep, self.begun, self.long) = (true, false, false);
        (self.owned, self.whole) = (false, false);
        (self.offered, self.informed) = (None, 0);
        if self.output.capacity() == 0 {
            self.output = spare();
        }
        let out = &mut self.output;
        out.reserve(method.as_str().len() + target.len() + 16);
        out.extend_from_slice(method.as_str().as_bytes());
        out.put_u8(b' ');
        out.extend_from_slice(target);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        fields(out);
        match upload {
            Upload::None => {}
            Upload::Length(length) => {
                out.extend_from_slice(b"content-length: ");
                put_number(out, length);
                out.extend_from_slice(b"\r\n");
            }
            Upload::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Adds a part of the request's body to what is to be written. Only while nothing waits beside the buffer.
    pub(crate) fn upload(&mut self, data: Bytes, framing: Upload) {
        debug_assert!(self.beside.is_empty());
        if data.is_empty() {
            return;
        }
        if framing == Upload::Chunked {
            put_chunk_size(&mut self.output, data.len());
        }
        if self.output.len() + data.len() <= ROOM || framing == Upload::Chunked {
            // A chunk's line break comes behind it, so a chunk is copied.
            self.output.extend_from_slice(&data);
        } else {
            self.beside = data;
        }
        if framing == Upload::Chunked {
            self.output.extend_from_slice(b"\r\n");
        }
    }

    /// Whether the next part of an upload may be added.
    pub(crate) fn takes_upload(&self) -> bool {
        self.beside.is_empty() && self.output.len() < ROOM
    }

    /// Ends a body in chunks.
    pub(crate) fn end_upload(&mut self, trailers: Option<&HeaderMap>) {
        self.output.extend_from_slice(b"0\r\n");
        for (name, value) in trailers.into_iter().flatten() {
            put_field(&mut self.output, name.as_str().as_bytes(), value.as_bytes());
        }
        self.output.extend_from_slice(b"\r\n");
    }
}
