//! A byte order mark before JSON: some servers send one, and whoever reads JSON may pass over it (RFC 8259, section 8.1).

use bytes::{Bytes, BytesMut};

/// U+FEFF in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Takes the mark off the front of a body.
#[derive(Debug, Default)]
pub(super) struct Mark {
    /// How many bytes of it have come; none where the beginning is over.
    seen: Option<usize>,
}

impl Mark {
    /// Before the first byte.
    pub(super) fn new() -> Self {
        Self { seen: Some(0) }
    }

    /// The next part of the body without what is the mark's. What only began like one is given back.
    pub(super) fn pass(&mut self, body: &mut Option<Bytes>, last: bool) {
        let Some(seen) = self.seen else { return };
        let part = body.as_deref().unwrap_or_default();
        let same = part.iter().zip(&MARK[seen..]).take_while(|(have, wanted)| have == wanted).count();
        let came = seen + same;
        if came < MARK.len() && same == part.len() && !last {
            self.seen = Some(came);
            *body = None;
            return;
        }
        self.seen = None;
        if came == MARK.len() {
            *body = body.take().map(|part| part.slice(same..)).filter(|part| !part.is_empty());
        } else if seen > 0 {
            let mut whole = BytesMut::from(&MARK[..seen]);
            whole.extend_from_slice(part);
            *body = Some(whole.freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(text: &[u8], size: usize) -> Vec<u8> {
        let (mut mark, mut out) = (Mark::new(), Vec::new());
        for part in text.chunks(size) {
            let mut body = Some(Bytes::copy_from_slice(part));
            mark.pass(&mut body, false);
            out.extend_from_slice(&body.unwrap_or_default());
        }
        let mut end = None;
        mark.pass(&mut end, true);
        out.extend_from_slice(&end.unwrap_or_default());
        out
    }

    #[test]
    fn one_mark_goes_and_all_else_stays_however_it_is_cut() {
        for (text, left) in [
            (&b"\xef\xbb\xbf{}"[..], &b"{}"[..]),
            (b"\xef\xbb\xbf", b""),
            (b"\xef\xbb\xbf\xef\xbb\xbf{}", b"\xef\xbb\xbf{}"),
            (b"{}", b"{}"),
            (b"\xef\xbb{}", b"\xef\xbb{}"),
            (b"\xef", b"\xef"),
            (b"", b""),
            (b"{\"a\": \"\xef\xbb\xbf\"}", b"{\"a\": \"\xef\xbb\xbf\"}"),
        ] {
            for size in 1..=text.len().max(1) {
                assert_eq!(passed(text, size), left, "{} in pieces of {size}", text.escape_ascii());
            }
        }
    }

    #[test]
    fn a_part_that_is_whole_is_not_copied() {
        let (mut mark, text) = (Mark::new(), Bytes::from(b"{\"a\": 1}".to_vec()));
        let address = text.as_ptr();
        let mut body = Some(text);

        mark.pass(&mut body, true);

        assert_eq!(body.map(|body| body.as_ptr()), Some(address));
    }
}
