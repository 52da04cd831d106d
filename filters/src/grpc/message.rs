//! Where the messages of a call begin and end: each has a byte of flags and four bytes of length in front.

/// A message is larger than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// The bytes in front of a message.
const PREFIX: usize = 5;

/// A stream of messages, of which only the lengths are looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Messages {
    prefix: [u8; PREFIX],
    /// How much of the prefix has come.
    have: usize,
    /// How much of the message is still to come.
    left: u64,
}

impl Messages {
    /// More of the stream, in which no message may be longer than `most` bytes.
    pub fn take(&mut self, mut data: &[u8], most: u64) -> Result<(), TooLarge> {
        while !data.is_empty() {
            if self.left > 0 {
                let part = data.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= part as u64;
                data = &data[part..];
                continue;
            }
            let part = data.len().min(PREFIX - self.have);
            self.prefix[self.have..self.have + part].copy_from_slice(&data[..part]);
            self.have += part;
            data = &data[part..];
            if self.have == PREFIX {
                let [_, length @ ..] = self.prefix;
                let length = u64::from(u32::from_be_bytes(length));
                if length > most {
                    return Err(TooLarge);
                }
                (self.have, self.left) = (0, length);
            }
        }
        Ok(())
    }

    /// Whether the last message is whole.
    pub fn is_whole(&self) -> bool {
        self.have == 0 && self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Vec<u8> {
        [&[0][..], &(length as u32).to_be_bytes(), &vec![b'x'; length]].concat()
    }

    #[test]
    fn a_stream_is_whole_where_a_message_ends_however_it_is_cut() {
        let lengths = [0, 1, 300, 0, 7];
        let stream: Vec<u8> = lengths.iter().flat_map(|length| message(*length)).collect();
        let mut ends: Vec<usize> = lengths
            .iter()
            .scan(0, |at, length| {
                *at += PREFIX + length;
                Some(*at)
            })
            .collect();
        ends.insert(0, 0);

        for size in [1, 2, 3, 5, 7, 64, stream.len()] {
            let (mut messages, mut at) = (Messages::default(), 0);
            for part in stream.chunks(size) {
                messages.take(part, 300).expect("none is larger");
                at += part.len();
                assert_eq!(messages.is_whole(), ends.contains(&at), "at {at} in parts of {size}");
            }
        }
    }

    #[test]
    fn what_is_too_large_is_known_by_its_length_alone() {
        let mut messages = Messages::default();

        assert_eq!(messages.take(&message(10), 10), Ok(()));
        assert_eq!(messages.take(&message(11)[..4], 10), Ok(()));
        assert_eq!(messages.take(&message(11)[4..5], 10), Err(TooLarge));
    }
}
