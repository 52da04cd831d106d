//! What stands between names and values.

use crate::json::reader::state::Mode;
use crate::json::white::next;

/// What comes after a name.
pub(super) enum Colon {
    /// A colon, and a value that begins here with this byte.
    Value(usize, u8),
    /// Something else, here.
    Missing(usize),
    /// The chunk's end, before what this mode is about.
    Cut(Mode),
}

/// What comes after the name that ends with the quote at `quote`.
#[inline(always)]
pub(super) fn after_name(data: &[u8], quote: usize) -> Colon {
    match data.get(quote + 1..).and_then(|rest| rest.first_chunk()) {
        Some(&[b':', byte]) if byte > b' ' => return Colon::Value(quote + 2, byte),
        _ => {}
    }
    match next(data, quote + 1) {
        Some((colon, b':')) => match next(data, colon + 1) {
            Some((at, byte)) => Colon::Value(at, byte),
            None => Colon::Cut(Mode::Value),
        },
        Some((at, _)) => Colon::Missing(at),
        None => Colon::Cut(Mode::Colon),
    }
}

/// After a value that ends before `at`: the first byte of the next one, where only a comma stands between.
#[inline(always)]
pub(super) fn minified(data: &[u8], at: usize) -> Option<u8> {
    match data.get(at..)?.first_chunk() {
        Some(&[b',', byte]) if byte > b' ' => Some(byte),
        _ => None,
    }
}

/// The bracket that closes an object, or an array.
#[inline(always)]
pub(super) fn closing(object: bool) -> u8 {
    if object { b'}' } else { b']' }
}
