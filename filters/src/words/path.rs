//! One spelling for every path, made before anyone compares it, so that router, permissions and origin read the same.
//!
//! What origins are known to read in two ways is refused instead of guessed at: encoded slashes and backslashes, control
//! characters, and dot segments with parameters (`/..;/`).

use std::borrow::Cow;
use std::fmt;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// Without the leading slash.
    NotAbsolute,
    /// `%2F`.
    EncodedSlash,
    /// `%5C`.
    EncodedBackslash,
    /// A raw `\`.
    Backslash,
    /// A control character or a space, raw, or a control character encoded: `%00`, `%0A`.
    Control,
    /// A `%` without two hexadecimal digits.
    Escape,
    /// `/..;x/`, which some origins resolve.
    DotParameter,
    /// A raw `?` or `#`: the path ended before it.
    Delimiter,
}

impl BadPath {
    /// What is wrong, in a few fixed words.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotAbsolute => "a path without a leading slash",
            Self::EncodedSlash => "an encoded slash",
            Self::EncodedBackslash => "an encoded backslash",
            Self::Backslash => "a backslash",
            Self::Control => "a control character or space",
            Self::Escape => "an invalid percent escape",
            Self::DotParameter => "a dot segment with a parameter",
            Self::Delimiter => "a `?` or `#` inside the path",
        }
    }
}

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for BadPath {}

/// The normal form of a request target's path, per RFC 3986 6.2.2.
///
/// Escapes of unreserved characters are decoded, others get upper-case digits, bytes outside ASCII are encoded; doubled slashes
/// are merged, then dot segments removed, where `..` above the root stays there. The result is its own normal form, and
/// borrows when nothing changes.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, BadPath> {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err(BadPath::NotAbsolute);
    }
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += match CLASSES[byte as usize] {
            Class::Plain => 1,
            Class::Slash if unsettled(&bytes[at + 1..]) => return rewrite(path),
            Class::Slash => 1,
            Class::Escape => match escape(&bytes[at..])? {
                Escape::Kept(digits) if digits == bytes[at + 1..at + 3] => 3,
                _ => return rewrite(path),
            },
            Class::Foreign => return rewrite(path),
            Class::Refused(reason) => return Err(reason),
        };
    }
    Ok(Cow::Borrowed(path))
}

#[derive(Clone, Copy)]
enum Class {
    Plain,
    Slash,
    Escape,
    /// Outside ASCII, hence to be encoded.
    Foreign,
    Refused(BadPath),
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Plain; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'/' => Class::Slash,
            b'%' => Class::Escape,
            b'\\' => Class::Refused(BadPath::Backslash),
            b'?' | b'#' => Class::Refused(BadPath::Delimiter),
            0..=b' ' | 0x7f => Class::Refused(BadPath::Control),
            0x80.. => Class::Foreign,
            _ => Class::Plain,
        };
        byte += 1;
    }
    classes
};

/// Whether what follows a slash may be a second slash or a dot segment.
fn unsettled(after: &[u8]) -> bool {
    match after {
        [b'/', ..] => true,
        [b'.', after @ ..] => {
            let after = after.strip_prefix(b".").unwrap_or(after);
            matches!(after.first(), None | Some(b'/' | b';' | b'%'))
        }
        _ => false,
    }
}

enum Escape {
    /// An unreserved character, better written as itself.
    Decoded(u8),
    /// The two digits in upper case.
    Kept([u8; 2]),
}

/// Reads the escape that begins here.
fn escape(bytes: &[u8]) -> Result<Escape, BadPath> {
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (Some(high), Some(low)) = (digit(1), digit(2)) else { return Err(BadPath::Escape) };
    match (high * 16 + low) as u8 {
        b'/' => Err(BadPath::EncodedSlash),
        b'\\' => Err(BadPath::EncodedBackslash),
        0..b' ' | 0x7f => Err(BadPath::Control),
        byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => Ok(Escape::Decoded(byte)),
        _ => Ok(Escape::Kept([bytes[1].to_ascii_uppercase(), bytes[2].to_ascii_uppercase()])),
    }
}

#[cold]
fn rewrite(path: &str) -> Result<Cow<'_, str>, BadPath> {
    let decoded = decode(path)?;
    let mut out = String::with_capacity(decoded.len());
    let mut segments = decoded.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let dots = segment.bytes().take(2).take_while(|byte| *byte == b'.').count();
        let (dots, after) = segment.split_at(dots);
        if !dots.is_empty() && (after.starts_with(';') || after.starts_with("%3B")) {
            return Err(BadPath::DotParameter);
        }
        let resolved = after.is_empty();
        if !resolved {
            out.push('/');
            out.push_str(segment);
        } else if dots == ".." {
            out.truncate(out.rfind('/').unwrap_or(0));
        }
        if resolved && segments.peek().is_none() {
            out.push('/');
        }
    }
    Ok(if out == path { Cow::Borrowed(path) } else { Cow::Owned(out) })
}

fn decode(path: &str) -> Result<String, BadPath> {
    let bytes = path.as_bytes();
    let mut out = String::with_capacity(bytes.len() + 16);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match CLASSES[byte as usize] {
            Class::Plain | Class::Slash => out.push(byte.into()),
            Class::Refused(reason) => return Err(reason),
            Class::Foreign => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.extend(['%', HEX[usize::from(byte >> 4)].into(), HEX[usize::from(byte & 15)].into()]);
            }
            Class::Escape => {
                match escape(&bytes[at - 1..])? {
                    Escape::Decoded(byte) => out.push(byte.into()),
                    Escape::Kept([high, low]) => out.extend(['%', high.into(), low.into()]),
                }
                at += 2;
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Xorshift64*: the same cases on every run.
    struct Random(u64);

    impl Random {
        fn new(seed: u64) -> Self {
            Self(seed)
        }

        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
        }

        fn pick<T: Copy>(&mut self, from: &[T]) -> T {
            from[self.below(from.len())]
        }
    }

    #[test]
    fn brings_paths_into_one_form() {
        let cases = [
            ("/", "/"),
            ("//", "/"),
            ("/a", "/a"),
            ("/a/", "/a/"),
            ("/users//admin/x", "/users/admin/x"),
            ("/users/%61dmin/x", "/users/admin/x"),
            ("/a/../b//%2e%2e", "/"),
            ("/a/./b/.", "/a/b/"),
            ("/a/b/..", "/a/"),
            ("/a/b/../", "/a/"),
            ("/../../a", "/a"),
            ("/..", "/"),
            ("/a/%2E%2e/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/a//../b", "/b"),
            ("/...", "/..."),
            ("/.../..a/.b", "/.../..a/.b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a%3ab%7e", "/a%3Ab~"),
            ("/a%20b", "/a%20b"),
            ("/%252e%252e/%2561", "/%252e%252e/%2561"),
            ("/é", "/%C3%A9"),
            ("/a;b=c/d;", "/a;b=c/d;"),
            ("/a..;/b", "/a..;/b"),
            ("/.%41", "/.A"),
            ("/{a}*|\"", "/{a}*|\""),
        ];
        for (path, normal) in cases {
            assert_eq!(normalise(path).as_deref(), Ok(normal), "{path}");
        }
    }

    #[test]
    fn refuses_what_origins_read_differently() {
        let cases = [
            ("", BadPath::NotAbsolute),
            ("*", BadPath::NotAbsolute),
            ("a/b", BadPath::NotAbsolute),
            ("%2fa", BadPath::NotAbsolute),
            ("/a%2fb", BadPath::EncodedSlash),
            ("/a%2F..", BadPath::EncodedSlash),
            ("/a%5c..", BadPath::EncodedBackslash),
            ("/a\\..\\b", BadPath::Backslash),
            ("/a%00", BadPath::Control),
            ("/a%0d%0A", BadPath::Control),
            ("/a%7f", BadPath::Control),
            ("/a b", BadPath::Control),
            ("/a\t", BadPath::Control),
            ("/a%", BadPath::Escape),
            ("/a%4", BadPath::Escape),
            ("/a%zz", BadPath::Escape),
            ("/a%+1", BadPath::Escape),
            ("/%%36%31", BadPath::Escape),
            ("/a/..;/b", BadPath::DotParameter),
            ("/a/..;x=1", BadPath::DotParameter),
            ("/a/.;/b", BadPath::DotParameter),
            ("/a/%2e%2E;/b", BadPath::DotParameter),
            ("/a/..%3b/b", BadPath::DotParameter),
            ("/a#b", BadPath::Delimiter),
            ("/a?b", BadPath::Delimiter),
            ("/é%2f", BadPath::EncodedSlash),
        ];
        for (path, reason) in cases {
            assert_eq!(normalise(path), Err(reason), "{path}");
        }
    }

    #[test]
    fn borrows_what_is_in_form_already() {
        for path in ["/", "/api/v1/users/42", "/.well-known/a%20b/", "/a;b/...", "/%C3%A9"] {
            assert!(matches!(normalise(path), Ok(Cow::Borrowed(same)) if same == path), "{path}");
        }
    }

    #[test]
    fn is_its_own_normal_form_and_leaves_nothing_to_resolve() {
        let pieces = ["/", "/", "/", ".", "..", "%2e", "%2E", ";", "%3b", "a", "%61", "%25", "%", "2", "f", "e", "é", "%2f"];
        let mut random = Random::new(7);
        let mut accepted = 0;
        for _ in 0..200_000 {
            let length = random.below(12);
            let path: String = std::iter::once("/").chain((0..length).map(|_| random.pick(&pieces))).collect();

            let Ok(once) = normalise(&path) else { continue };

            accepted += 1;
            assert_eq!(normalise(&once).as_deref(), Ok(&*once), "{path}");
            assert!(matches!(normalise(&once), Ok(Cow::Borrowed(_))), "{path}");
            assert!(once.starts_with('/') && !once.contains("//"), "{path} became {once}");
            assert!(once.split('/').all(|segment| segment != "." && segment != ".."), "{path} became {once}");
        }
        assert!(accepted > 50_000, "only {accepted} paths were accepted");
    }
}
