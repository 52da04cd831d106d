//! Where the frames of a WebSocket end (RFC 6455, section 5.2): a tunnel can say something of its own only between two of them.
//!
//! Of a frame its header alone is read, at most ten bytes of it, whatever the payload is.

/// A frame's first two bytes, and the longest form of its length behind them.
const HEADER: usize = 10;
/// How many bytes the key of a masked frame takes, in front of its payload.
const KEY: usize = 4;
/// The opcode of the frame after which nothing follows.
const CLOSE: u8 = 8;
/// The status of who goes away: a server that goes down (section 7.4.1).
const GOING_AWAY: [u8; 2] = 1001_u16.to_be_bytes();

/// A place within the frames of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Frames {
    header: [u8; HEADER],
    /// How many bytes of a header have come.
    have: u8,
    /// How many bytes of the frame are still to come behind its header.
    left: u64,
    /// Whether the frame is the last one, and whether that has ended.
    closing: bool,
    closed: bool,
}

impl Frames {
    /// Follows these bytes.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[self.step(rest)..];
        }
    }

    /// How many of these bytes belong to the frame in progress: none between two frames.
    pub(crate) fn rest_of_frame(&self, bytes: &[u8]) -> usize {
        let mut ahead = *self;
        let mut at = 0;
        while at < bytes.len() && !ahead.is_between() {
            at += ahead.step(&bytes[at..]);
        }
        at
    }

    /// Whether no frame is in progress.
    pub(crate) fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Whether a close frame has come to its end.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Goes on within one header or one payload; how many bytes that were.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.left > 0 {
            let count = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
            self.left -= count as u64;
            self.closed |= self.closing && self.left == 0;
            return count;
        }
        let have = usize::from(self.have);
        self.header[have] = bytes[0];
        self.have += 1;
        let whole = match self.header[1] & 0x7f {
            _ if have == 0 => HEADER,
            126 => 4,
            127 => 10,
            _ => 2,
        };
        if have + 1 == whole {
            self.begin();
        }
        1
    }

    /// The header is whole.
    fn begin(&mut self) {
        let [first, second, length @ ..] = self.header;
        let length = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes([length[0], length[1]])),
            127 => u64::from_be_bytes(length),
            short => u64::from(short),
        };
        let key = if second & 0x80 == 0 { 0 } else { KEY as u64 };
        self.left = length.saturating_add(key);
        self.closing = first & 0x0f == CLOSE;
        self.closed |= self.closing && self.left == 0;
        self.have = 0;
    }
}

/// The frame that ends a WebSocket because who speaks goes away. What a client sends is masked (section 5.3), and a gateway is its upstream's.
pub(crate) fn going_away(masked: bool) -> Vec<u8> {
    let [first, second] = GOING_AWAY;
    let mut frame = vec![0x80 | CLOSE, GOING_AWAY.len() as u8];
    if !masked {
        frame.extend([first, second]);
        return frame;
    }
    let mut key = [0; KEY];
    let _ = aws_lc_rs::rand::fill(&mut key);
    frame[1] |= 0x80;
    frame.extend(key);
    frame.extend([first ^ key[0], second ^ key[1]]);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of this opcode with so long a payload, whose bytes look like headers.
    fn frame(opcode: u8, length: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match length {
            0..126 => frame.push(mask | length as u8),
            126..=0xffff => {
                frame.push(mask | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(if masked { &[0x88, 0, 0x88, 0][..] } else { &[] });
        frame.extend([0x88, 0].iter().cycle().take(length));
        frame
    }

    #[test]
    fn frames_of_every_length_end_where_they_end_however_they_come() {
        for masked in [false, true] {
            for length in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20] {
                let whole = frame(2, length, masked);
                let followed = [&whole[..], &frame(1, 3, masked)].concat();
                for part in [1, 2, 3, 7, 4096, whole.len()] {
                    let mut frames = Frames::default();
                    for (index, bytes) in whole.chunks(part).enumerate() {
                        let at = index * part;
                        assert_eq!(frames.is_between(), at == 0, "{length} at {at}");
                        // What belongs to it is known wherever it stands.
                        let rest = if at == 0 { 0 } else { whole.len() - at };
                        assert_eq!(frames.rest_of_frame(&followed[at..]), rest, "{length} at {at}");
                        frames.take(bytes);
                    }
                    assert!(frames.is_between() && !frames.is_closed(), "{length} by {part}");
                }
            }
        }
    }

    #[test]
    fn only_a_whole_close_frame_closes() {
        for masked in [false, true] {
            for length in [0, 2, 125] {
                let mut frames = Frames::default();
                let close = frame(CLOSE, length, masked);
                frames.take(&[frame(9, 5, masked), close[..close.len() - 1].to_vec()].concat());
                assert!(!frames.is_closed());

                frames.take(&close[close.len() - 1..]);

                assert!(frames.is_closed() && frames.is_between());
            }
        }
    }

    #[test]
    fn a_length_that_nothing_holds_never_ends() {
        let mut frames = Frames::default();
        frames.take(&[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        frames.take(&[0; 1 << 16]);

        assert!(!frames.is_between());
    }

    #[test]
    fn who_goes_away_says_1001_masked_to_a_server() {
        assert_eq!(going_away(false), [0x88, 2, 3, 0xe9]);
        let masked = going_away(true);
        let [0x88, 0x82, a, b, _, _, first, second] = masked[..] else { panic!("{masked:?}") };
        assert_eq!([first ^ a, second ^ b], [3, 0xe9]);
        for frame in [going_away(false), masked] {
            let mut frames = Frames::default();
            frames.take(&frame);
            assert!(frames.is_closed());
        }
    }
}
