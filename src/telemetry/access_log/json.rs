//! The members of a JSON object, each with a comma before it: written by hand, since every request of a busy gateway has a line.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

/// The longest of every other text, some of which a client chooses too.
pub(super) const WORD: usize = 256;

fn key(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

pub(super) fn word(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    text(out, name, value.map(str::as_bytes), WORD);
}

pub(super) fn text(out: &mut Vec<u8>, name: &str, value: Option<&[u8]>, bound: usize) {
    let Some(value) = value else { return };
    key(out, name);
    out.push(b'"');
    escape(out, shorten(value, bound));
    out.push(b'"');
}

pub(super) fn number(out: &mut Vec<u8>, name: &str, value: Option<impl Into<u64>>) {
    let Some(value) = value else { return };
    key(out, name);
    decimal(out, value.into());
}

pub(super) fn address(out: &mut Vec<u8>, name: &str, value: Option<IpAddr>) {
    let Some(value) = value else { return };
    key(out, name);
    write!(out, "\"{value}\"").expect("writing to a Vec does not fail");
}

pub(super) fn millis(out: &mut Vec<u8>, name: &str, value: Duration) {
    key(out, name);
    let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
    decimal(out, micros / 1_000);
    let [hundreds, tens, ones] = [micros / 100 % 10, micros / 10 % 10, micros % 10].map(|digit| b'0' + digit as u8);
    out.extend_from_slice(&[b'.', hundreds, tens, ones]);
}

/// Appends `value` in digits; `write!` takes five times as long, for ten numbers a line.
fn decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The first `bound` bytes, or up to three fewer so that no character is torn.
pub(super) fn shorten(value: &[u8], bound: usize) -> &[u8] {
    if value.len() <= bound {
        return value;
    }
    let torn = (0..=3).find(|back| value[bound - back] & 0xC0 != 0x80);
    &value[..bound - torn.unwrap_or(0)]
}

/// Appends `value` as the inside of a JSON string (RFC 8259, section 7), U+FFFD in place of what is no UTF-8. DEL and the C1
/// controls need no escape in JSON, but a terminal that shows the log would obey them.
fn escape(out: &mut Vec<u8>, value: &[u8]) {
    let plain = |byte: u8| (0x20..0x7F).contains(&byte) & (byte != b'"') & (byte != b'\\');
    // Without an early exit, so that it is done in vectors: almost every text is plain.
    if value.iter().fold(true, |all, &byte| all & plain(byte)) {
        return out.extend_from_slice(value);
    }
    for chunk in value.utf8_chunks() {
        let valid = chunk.valid();
        let mut rest = 0;
        for (at, character) in valid.char_indices() {
            if !character.is_control() && character != '"' && character != '\\' {
                continue;
            }
            out.extend_from_slice(&valid.as_bytes()[rest..at]);
            rest = at + character.len_utf8();
            match character {
                '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                other => write!(out, "\\u{:04x}", u32::from(other)).expect("writing to a Vec does not fail"),
            }
        }
        out.extend_from_slice(&valid.as_bytes()[rest..]);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}
