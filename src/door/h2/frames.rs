//! Follows the frames that a client of HTTP/2 sends, as far as deadlines need it: whether it has stopped in the middle of something, and how
//! much of it asks for nothing.

use super::noise::RESET;

/// What a connection begins with (RFC 9113, section 3.4).
const PREFACE: usize = 24;
/// A frame's own header (RFC 9113, section 4.1).
const HEADER: usize = 9;
/// How much of it tells the frame's type.
const TYPE: usize = 4;

/// Less than this in one frame is no message: one of gRPC begins with five bytes, one of a WebSocket with six.
const NO_MESSAGE: u8 = 5;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Where the bytes that were read end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the preface, or in the SETTINGS that belong to it.
    Greeting,
    /// In a head, of which more frames may have to come.
    Head,
    /// In the first bytes of a frame, which may be of any type.
    Frame,
    /// Between two frames, or in one that whoever waits for it has a deadline for.
    Between,
}

/// The place within the frames.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes of the preface that are still to come.
    preface: usize,
    greeted: bool,
    header: [u8; HEADER],
    /// How many bytes of the frame's header have come.
    have: usize,
    /// How many bytes of its payload are still to come.
    left: usize,
    /// Whether a head has begun and not ended.
    head: bool,
    /// What was said that asks for nothing, since that was asked last.
    noise: u64,
}

impl Frames {
    /// The beginning of a connection.
    pub(super) fn new() -> Self {
        Self { preface: PREFACE, greeted: false, header: [0; HEADER], have: 0, left: 0, head: false, noise: 0 }
    }

    /// Follows these bytes. Whether something came to its end in them: the greeting, a head of however many frames, another frame.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        let mut bytes = &bytes[self.skip_preface(bytes.len())..];
        let mut ended = false;
        while !bytes.is_empty() {
            if self.have < HEADER {
                let count = bytes.len().min(HEADER - self.have);
                self.header[self.have..self.have + count].copy_from_slice(&bytes[..count]);
                self.have += count;
                bytes = &bytes[count..];
                if self.have < HEADER {
                    break;
                }
                let [a, b, c, ..] = self.header;
                self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            }
            let count = bytes.len().min(self.left);
            self.left -= count;
            bytes = &bytes[count..];
            if self.left == 0 {
                self.end_frame();
                ended |= !self.head;
            }
        }
        ended
    }

    fn skip_preface(&mut self, length: usize) -> usize {
        let count = length.min(self.preface);
        self.preface -= count;
        count
    }

    fn end_frame(&mut self) {
        if self.carries_head() {
            self.head = self.header[4] & END_HEADERS == 0;
        }
        self.noise += match (self.header[3], self.header) {
            (HEADERS, _) => 0,
            (DATA, [0, 0, 0..NO_MESSAGE, _, flags, ..]) if flags & END_STREAM == 0 => 1,
            (DATA, _) => 0,
            (RST_STREAM, _) => RESET,
            _ => 1,
        };
        (self.have, self.greeted) = (0, true);
    }

    /// What has come that asks for nothing, since this was asked last: frames that are no part of a request, and requests that are taken back.
    pub(super) fn take_noise(&mut self) -> u64 {
        std::mem::take(&mut self.noise)
    }

    fn carries_head(&self) -> bool {
        self.have >= TYPE && matches!(self.header[3], HEADERS | PUSH_PROMISE | CONTINUATION)
    }

    /// Where the last of the bytes was.
    pub(super) fn place(&self) -> Place {
        match self {
            _ if !self.greeted => Place::Greeting,
            _ if self.head || self.carries_head() => Place::Head,
            _ if (1..TYPE).contains(&self.have) => Place::Frame,
            _ => Place::Between,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.extend(payload);
        frame
    }

    /// The place after each byte, as a letter.
    fn places(bytes: &[u8]) -> String {
        let mut frames = Frames::new();
        frames.take(&[b'p'; PREFACE]);
        frames.take(&frame(4, 0, b""));
        let letter = |byte: &u8| {
            frames.take(&[*byte]);
            match frames.place() {
                Place::Greeting => 'g',
                Place::Head => 'h',
                Place::Frame => 'f',
                Place::Between => '.',
            }
        };
        bytes.iter().map(letter).collect()
    }

    #[test]
    fn the_greeting_ends_with_the_first_frame() {
        let greeting = [vec![b'p'; PREFACE], frame(4, 0, b"123456")].concat();
        for end in 0..greeting.len() {
            let mut frames = Frames::new();
            assert!(!frames.take(&greeting[..end]));
            assert_eq!(frames.place(), Place::Greeting, "{end}");
            assert!(frames.take(&greeting[end..]));
            assert_eq!(frames.place(), Place::Between);
        }
    }

    #[test]
    fn a_head_lasts_until_its_last_frame_has_ended() {
        assert_eq!(places(&frame(HEADERS, END_HEADERS, b"abc")), "fffhhhhhhhh.");
        assert_eq!(places(&frame(HEADERS, END_HEADERS, b"")), "fffhhhhh.");
        let parts = [frame(HEADERS, 0, b"a"), frame(CONTINUATION, 0, b""), frame(CONTINUATION, END_HEADERS, b"b")].concat();
        assert_eq!(places(&parts), format!("fff{}.", "h".repeat(parts.len() - 4)));
    }

    #[test]
    fn other_frames_are_nobodys_head() {
        for kind in [0, 2, 3, 4, 6, 7, 8, 200] {
            assert_eq!(places(&frame(kind, END_HEADERS, b"abc")), "fff.........", "{kind}");
        }
    }

    #[test]
    fn what_is_no_part_of_a_request_is_noise() {
        let noise = |kind, flags, payload: &[u8]| {
            let mut frames = Frames::new();
            frames.take(&[b'p'; PREFACE]);
            frames.take(&frame(4, 0, b""));
            assert_eq!(frames.take_noise(), 1, "the SETTINGS");
            let bytes = frame(kind, flags, payload);
            frames.take(&bytes[..bytes.len() - 1]);
            assert_eq!(frames.take_noise(), 0, "it has not ended");
            frames.take(&bytes[bytes.len() - 1..]);
            (frames.take_noise(), frames.take_noise())
        };

        for payload in [&b""[..], b"payload"] {
            assert_eq!(noise(HEADERS, END_HEADERS, payload), (0, 0));
            assert_eq!(noise(DATA, END_STREAM, payload), (0, 0));
            assert_eq!(noise(RST_STREAM, 0, payload), (RESET, 0));
            for kind in [2, 4, 6, 7, 8, CONTINUATION, 16, 200] {
                assert_eq!(noise(kind, 0, payload), (1, 0), "{kind}");
            }
        }
        assert_eq!(noise(DATA, 0, b"bytes"), (0, 0), "the beginning of a message");
        assert_eq!(noise(DATA, 0, b"byte"), (1, 0));
        assert_eq!(noise(DATA, END_STREAM, b"byte"), (0, 0));
        assert_eq!(noise(DATA, 0, b""), (1, 0));
    }

    #[test]
    fn many_frames_at_once_are_followed_as_if_they_came_by_bytes() {
        let all = [frame(0, 0, b"data"), frame(HEADERS, 0, b"a"), frame(CONTINUATION, END_HEADERS, b"b"), frame(HEADERS, 0, b"c")].concat();
        let mut whole = Frames::new();
        whole.take(&[b'p'; PREFACE]);
        assert!(whole.take(&all));

        assert_eq!(whole.place(), Place::Head);
        assert!(!whole.take(&frame(CONTINUATION, 0, b"more")), "the head goes on");
        assert!(!whole.take(&frame(CONTINUATION, END_HEADERS, b"long")[..12]));
        assert!(whole.take(b"g"));
        assert_eq!(whole.place(), Place::Between);
    }
}
