//! The name of a member as it is written → where it leads.

use super::{Node, Target};

impl Node {
    /// Where the key leads whose text between the quotes is `raw`; `escaped` says whether it has a backslash.
    #[inline(always)]
    pub(crate) fn find_raw(&self, raw: &[u8], escaped: bool) -> Target {
        if escaped { self.find_escaped(raw) } else { self.find(raw) }
    }

    /// A key that is no valid string is none of the names.
    #[cold]
    #[inline(never)]
    fn find_escaped(&self, raw: &[u8]) -> Target {
        // The longest names come last.
        let longest = self.names.last().map_or(0, |name| name.text.len());
        if raw.len() > 6 * longest {
            return self.default;
        }
        let mut decoded = Vec::with_capacity(raw.len());
        match decode(raw, &mut decoded) {
            Some(()) => self.find(&decoded),
            None => self.default,
        }
    }
}

/// Undoes the escapes of a JSON string. `None`: a bad escape or half a surrogate pair.
fn decode(mut raw: &[u8], decoded: &mut Vec<u8>) -> Option<()> {
    while let Some(slash) = raw.iter().position(|&byte| byte == b'\\') {
        decoded.extend_from_slice(&raw[..slash]);
        let (&kind, rest) = raw[slash + 1..].split_first()?;
        raw = rest;
        decoded.push(match kind {
            b'"' | b'\\' | b'/' => kind,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut unit = take_unit(&mut raw)?;
                if (0xd800..0xdc00).contains(&unit) {
                    raw = raw.strip_prefix(b"\\u")?;
                    let low = take_unit(&mut raw)?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return None;
                    }
                    unit = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                }
                decoded.extend_from_slice(char::from_u32(unit)?.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        });
    }
    decoded.extend_from_slice(raw);
    Some(())
}

/// Four hexadecimal digits.
fn take_unit(raw: &mut &[u8]) -> Option<u32> {
    let (digits, rest) = raw.split_first_chunk::<4>()?;
    *raw = rest;
    digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
}
