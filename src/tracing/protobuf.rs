//! The wire format of Protocol Buffers, as far as spans need it: fields appended to bytes. Messages that are written one after the other unite.

/// What an attribute says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'v> {
    /// A text.
    Text(&'v str),
    /// A whole number.
    Number(i64),
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn key(out: &mut Vec<u8>, field: u32, wire: u32) {
    varint(out, u64::from(field << 3 | wire));
}

/// A number; 0 is what is not said.
pub(super) fn number(out: &mut Vec<u8>, field: u32, number: u64) {
    key(out, field, 0);
    varint(out, number);
}

/// A number of 64 bits, always eight bytes.
pub(super) fn fixed64(out: &mut Vec<u8>, field: u32, number: u64) {
    key(out, field, 1);
    out.extend_from_slice(&number.to_le_bytes());
}

/// A number of 32 bits, always four bytes.
pub(super) fn fixed32(out: &mut Vec<u8>, field: u32, number: u32) {
    key(out, field, 5);
    out.extend_from_slice(&number.to_le_bytes());
}

/// Bytes, or a text in UTF-8.
pub(super) fn bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    key(out, field, 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A message within the message, as `fill` writes it.
pub(super) fn message(out: &mut Vec<u8>, field: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    key(out, field, 2);
    let start = out.len();
    fill(out);
    // Its length goes before it, and is known now.
    let end = out.len();
    varint(out, (end - start) as u64);
    let length = out.len() - end;
    out[start..].rotate_right(length);
}

/// An attribute: a `KeyValue` of OTLP.
pub(super) fn attribute(out: &mut Vec<u8>, field: u32, name: &str, value: Value<'_>) {
    message(out, field, |out| {
        bytes(out, 1, name.as_bytes());
        message(out, 2, |out| match value {
            Value::Text(text) => bytes(out, 1, text.as_bytes()),
            Value::Number(value) => number(out, 3, value as u64),
        });
    });
}

/// The whole number in this field of an answer's message, on the way through these fields that hold messages; 0 where nothing says it.
pub(super) fn find(mut message: &[u8], path: &[u32]) -> Option<u64> {
    let mut found = Some(0);
    while !message.is_empty() {
        let (key, rest) = read_varint(message)?;
        let (field, wire) = (u32::try_from(key >> 3).ok()?, key & 7);
        let is_wanted = path.first() == Some(&field);
        message = match wire {
            0 => {
                let (number, rest) = read_varint(rest)?;
                if is_wanted && path.len() == 1 {
                    found = Some(number);
                }
                rest
            }
            1 => rest.get(8..)?,
            5 => rest.get(4..)?,
            2 => {
                let (length, rest) = read_varint(rest)?;
                let (inner, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                if is_wanted && path.len() > 1 {
                    found = find(inner, &path[1..]);
                }
                rest
            }
            _ => return None,
        };
    }
    found
}

fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_of_the_encoding_s_own_examples() {
        // Of the documentation of the encoding: `a: 150`, `b: "testing"`, `c: {a: 150}`.
        let mut out = Vec::new();
        number(&mut out, 1, 150);
        bytes(&mut out, 2, b"testing");
        message(&mut out, 3, |out| number(out, 1, 150));

        assert_eq!(out, [0x08, 0x96, 0x01, 0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67, 0x1a, 0x03, 0x08, 0x96, 0x01]);

        let mut out = Vec::new();
        number(&mut out, 1, -2_i64 as u64);
        fixed64(&mut out, 7, 1);
        fixed32(&mut out, 16, 0x0102);
        let fixed = [0x39, 1, 0, 0, 0, 0, 0, 0, 0, 0x85, 0x01, 0x02, 0x01, 0, 0];
        assert_eq!(out, [&[0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01][..], &fixed].concat());
    }

    #[test]
    fn a_long_message_has_its_length_before_it() {
        let mut out = vec![7];
        message(&mut out, 1, |out| out.resize(out.len() + 300, 9));

        assert_eq!(out[..4], [7, 0x0a, 0xac, 0x02]);
        assert!(out.len() == 304 && out[4..].iter().all(|byte| *byte == 9));
    }

    #[test]
    fn a_number_is_found_where_it_is_and_nothing_in_what_is_cut_off() {
        let mut out = Vec::new();
        fixed64(&mut out, 9, 1);
        bytes(&mut out, 2, b"words");
        message(&mut out, 1, |out| {
            fixed32(out, 3, 1);
            bytes(out, 2, b"why");
            number(out, 1, 17);
        });

        assert_eq!(find(&out, &[1, 1]), Some(17));
        assert_eq!(find(&out, &[4, 1]), Some(0));
        assert_eq!(find(&[], &[1, 1]), Some(0));
        let whole: Vec<usize> = (0..out.len()).filter(|end| find(&out[..*end], &[1, 1]).is_some()).collect();
        assert_eq!(whole, [0, 9, 16]);
        assert_eq!(find(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], &[1, 1]), None);
        assert_eq!(find(&[0x0c], &[1]), None);
    }
}
