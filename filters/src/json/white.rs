//! White space between what matters.

/// The next byte at or after `at` that is no white space, and its place.
#[inline(always)]
pub(super) fn next(data: &[u8], at: usize) -> Option<(usize, u8)> {
    match data.get(at) {
        // Minified documents end it here, printed ones between a colon and a value a byte later.
        Some(&byte) if byte > b' ' => Some((at, byte)),
        Some(&space) => {
            if let Some(&byte) = data.get(at + 1)
                && byte > b' '
                && space == b' '
            {
                return Some((at + 1, byte));
            }
            let at = skip(data, at);
            data.get(at).map(|&byte| (at, byte))
        }
        None => None,
    }
}

/// The first byte at or after `at` that is no white space.
#[inline(always)]
fn skip(data: &[u8], mut at: usize) -> usize {
    // Minified documents end it here; in printed ones a line break goes before a run of spaces.
    match data.get(at) {
        Some(byte) if *byte > b' ' => return at,
        Some(b'\n') => at += 1,
        _ => {}
    }
    loop {
        if let Some(eight) = data.get(at..).and_then(|rest| rest.first_chunk()) {
            let others = u64::from_le_bytes(*eight) ^ 0x2020_2020_2020_2020;
            if others == 0 {
                at += 8;
                continue;
            }
            at += others.trailing_zeros() as usize / 8;
        }
        match data.get(at) {
            Some(b' ' | b'\n' | b'\r' | b'\t') => at += 1,
            _ => return at,
        }
    }
}
