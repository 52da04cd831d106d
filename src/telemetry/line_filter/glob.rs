//! Texts with stars: `/api/*/orders`. Without a star it is how a text begins.

use memchr::memmem;

/// A pattern: each `*` stands for any bytes, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    /// How the text begins.
    begins: Box<str>,
    /// What comes in it after that, in this order.
    within: Box<[Box<str>]>,
    /// How it ends; nothing where it may end as it likes.
    ends: Box<str>,
}

impl Glob {
    /// Reads a pattern.
    pub(super) fn new(pattern: &str) -> Self {
        let mut parts = pattern.split('*');
        let begins = parts.next().unwrap_or_default().into();
        let mut rest: Vec<Box<str>> = parts.map(Box::from).collect();
        let ends = rest.pop().unwrap_or_default();
        Self { begins, within: rest.into_iter().filter(|part| !part.is_empty()).collect(), ends }
    }

    /// Whether it fits the whole of this text. The first place of each part is taken, which leaves the most for those after it.
    pub(super) fn fits(&self, text: &[u8]) -> bool {
        let Some(mut rest) = text.strip_prefix(self.begins.as_bytes()) else { return false };
        for part in &self.within {
            let Some(at) = memmem::find(rest, part.as_bytes()) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(self.ends.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything_and_a_text_without_one_is_a_beginning() {
        for (pattern, fitting, other) in [
            ("/api/", &["/api/", "/api/v1"][..], &["/ap", "/x/api/"][..]),
            ("*", &["", "x"], &[]),
            ("*.json", &[".json", "/a.json"], &["/a.json2", "json"]),
            ("/a/*/c", &["/a/b/c", "/a//c", "/a/c/c"], &["/a/c", "/a/b/cd"]),
            ("*curl*", &["curl", "libcurl/8"], &["cur l"]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("a*bc*bc", &["abcbc", "axbcxbc"], &["abc"]),
            ("a**b", &["ab", "axb"], &["a"]),
        ] {
            let glob = Glob::new(pattern);
            fitting.iter().for_each(|text| assert!(glob.fits(text.as_bytes()), "{pattern} {text}"));
            other.iter().for_each(|text| assert!(!glob.fits(text.as_bytes()), "{pattern} {text}"));
        }
    }
}
