//! gRPC-Web: a call that a page can make. Its status is the last frame of the body, and the body may be base64 throughout
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;

/// The flag of a frame that holds trailers.
const TRAILERS: u8 = 0x80;

/// Trailers as the last frame of a body.
pub fn trailers(fields: &HeaderMap) -> Bytes {
    let length: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len() + b": \r\n".len()).sum();
    let mut frame = BytesMut::with_capacity(5 + length);
    frame.put_u8(TRAILERS);
    frame.put_u32(u32::try_from(length).expect("fields are bounded far below that"));
    for (name, value) in fields {
        frame.extend_from_slice(name.as_str().as_bytes());
        frame.extend_from_slice(b": ");
        frame.extend_from_slice(value.as_bytes());
        frame.extend_from_slice(b"\r\n");
    }
    frame.freeze()
}

/// Bytes in base64, padded.
pub fn text(bytes: &[u8]) -> Bytes {
    Bytes::from(STANDARD.encode(bytes))
}

/// Bytes into base64 as they come. What fills no group of three is held back, unless it ends a message: then the text is padded, and another
/// one follows it.
#[derive(Debug, Default)]
pub struct Encoder {
    held: BytesMut,
}

impl Encoder {
    /// The text of these bytes, and with `flush` of all that was held back.
    pub fn take(&mut self, bytes: &[u8], flush: bool) -> Bytes {
        self.held.extend_from_slice(bytes);
        let whole = if flush { self.held.len() } else { self.held.len() / 3 * 3 };
        text(&self.held.split_to(whole))
    }
}

/// What was to be base64 is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotText;

/// Base64 into bytes as it comes: one text, or several of which each is padded.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Characters that make no group of four yet.
    group: [u8; 4],
    have: usize,
}

impl Decoder {
    /// The bytes of this text.
    pub fn take(&mut self, text: &[u8]) -> Result<Bytes, NotText> {
        let mut bytes = BytesMut::with_capacity((text.len() + self.have) / 4 * 3);
        for byte in text {
            self.group[self.have] = *byte;
            self.have += 1;
            if self.have == self.group.len() {
                self.have = 0;
                let mut three = [0_u8; 3];
                let count = STANDARD.decode_slice(self.group, &mut three).map_err(|_| NotText)?;
                bytes.extend_from_slice(&three[..count]);
            }
        }
        Ok(bytes.freeze())
    }

    /// Whether nothing is left over where the text ends.
    pub fn is_whole(&self) -> bool {
        self.have == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_same_bytes_however_it_is_cut() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();

        for size in [1, 2, 3, 4, 7, 100, 1000] {
            let (mut encoder, mut encoded) = (Encoder::default(), Vec::new());
            for part in bytes.chunks(size) {
                encoded.extend_from_slice(&encoder.take(part, false));
            }
            encoded.extend_from_slice(&encoder.take(&[], true));
            assert_eq!(encoded, STANDARD.encode(&bytes).as_bytes(), "in parts of {size}");

            let (mut decoder, mut decoded) = (Decoder::default(), Vec::new());
            for part in encoded.chunks(size) {
                decoded.extend_from_slice(&decoder.take(part).expect("base64"));
            }
            assert!(decoder.is_whole());
            assert_eq!(decoded, bytes, "in parts of {size}");
        }
    }

    #[test]
    fn padded_texts_may_follow_each_other() {
        let mut encoder = Encoder::default();
        let text = [encoder.take(b"a", true), encoder.take(b"bc", true), encoder.take(b"def", true)].concat();

        assert_eq!(text, b"YQ==YmM=ZGVm");
        assert_eq!(Decoder::default().take(&text).expect("base64"), &b"abcdef"[..]);
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for text in ["YQ=", "Y", "YQ==Y"] {
            let mut decoder = Decoder::default();
            let _ = decoder.take(text.as_bytes());
            assert!(!decoder.is_whole(), "{text}");
        }
        for text in ["Y\n==", "Y===", "====", "!!!!", "Y=Q="] {
            assert_eq!(Decoder::default().take(text.as_bytes()), Err(NotText), "{text}");
        }
    }
}
