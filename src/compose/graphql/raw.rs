//! Values within texts that were proved to be one JSON value each: where members and elements lie, without a tree.
//!
//! All that is said here of a text holds for proved ones alone. Of any other what is found means nothing, but nothing is read outside of it.

use frontgate_filters::json::path::Segment;
use frontgate_filters::json::place::Step;
use memchr::memchr2;

/// Where a value lies in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Range {
    pub(super) begin: u32,
    pub(super) end: u32,
}

impl Range {
    /// All of a text.
    pub(super) fn whole(text: &[u8]) -> Self {
        Self { begin: 0, end: text.len() as u32 }
    }

    /// Its bytes.
    pub(super) fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.begin as usize..self.end as usize).unwrap_or_default()
    }
}

fn byte(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or_default()
}

/// Behind what is white here.
pub(super) fn white(text: &[u8], mut at: usize) -> usize {
    while matches!(byte(text, at), b' ' | b'\n' | b'\r' | b'\t') {
        at += 1;
    }
    at
}

/// This byte eight times.
const fn eight(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Which of eight bytes are zero, by their highest bits. What is said of those behind the first one means nothing.
fn zeros(eight_bytes: u64) -> u64 {
    eight_bytes.wrapping_sub(eight(0x01)) & !eight_bytes & eight(0x80)
}

/// So many bytes of a string are looked at without a call: most strings end before.
const SHORT: usize = 32;

/// Behind the string that begins here.
#[inline]
pub(super) fn behind_string(text: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while let Some(bytes) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let bytes = u64::from_le_bytes(*bytes);
        let found = zeros(bytes ^ eight(b'"')) | zeros(bytes ^ eight(b'\\'));
        if found == 0 {
            at += 8;
            if at > begin + SHORT {
                break;
            }
            continue;
        }
        at += found.trailing_zeros() as usize / 8;
        if byte(text, at) == b'"' {
            return at + 1;
        }
        at += 2;
    }
    behind_long(text, at)
}

/// Behind the string of which this is a part.
fn behind_long(text: &[u8], mut at: usize) -> usize {
    while let Some(found) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if byte(text, at) == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

/// Behind the value that begins here.
pub(super) fn behind_value(text: &[u8], begin: usize) -> usize {
    match byte(text, begin) {
        b'"' => behind_string(text, begin),
        b'{' | b'[' => {
            let (mut at, mut open) = (begin, 0_usize);
            while at < text.len() {
                match text[at] {
                    b'"' => {
                        at = behind_string(text, at);
                        continue;
                    }
                    b'{' | b'[' => open += 1,
                    b'}' | b']' => {
                        open -= 1;
                        if open == 0 {
                            return at + 1;
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
            text.len()
        }
        _ => {
            let rest = text.get(begin..).unwrap_or_default();
            begin + rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')).unwrap_or(rest.len())
        }
    }
}

/// The members of an object: each one's name as it is written, without its quotes, and where its value lies. What is no object has none.
pub(super) fn members(text: &[u8], of: Range) -> impl Iterator<Item = (&[u8], Range)> {
    let mut at = of.begin as usize;
    let is_object = byte(text, at) == b'{';
    std::iter::from_fn(move || {
        if !is_object {
            return None;
        }
        at = white(text, at + 1);
        if byte(text, at) != b'"' {
            return None;
        }
        let behind = behind_string(text, at);
        let name = text.get(at + 1..behind - 1).unwrap_or_default();
        let begin = white(text, white(text, behind) + 1);
        let end = behind_value(text, begin);
        at = white(text, end);
        Some((name, Range { begin: begin as u32, end: end as u32 }))
    })
}

/// The elements of an array. What is no array has none.
pub(super) fn elements(text: &[u8], of: Range) -> impl Iterator<Item = Range> {
    let mut at = of.begin as usize;
    let is_array = byte(text, at) == b'[';
    std::iter::from_fn(move || {
        if !is_array || at + 1 >= of.end as usize {
            return None;
        }
        let begin = white(text, at + 1);
        if byte(text, begin) == b']' {
            return None;
        }
        let end = behind_value(text, begin);
        at = white(text, end);
        Some(Range { begin: begin as u32, end: end as u32 })
    })
}

/// Whether a member's name, as it is written, is this one.
pub(super) fn is_named(written: &[u8], name: &[u8]) -> bool {
    written == name || has_escapes(written) && decoded(written).as_deref() == Some(name)
}

/// Whether what stands between quotes says something else than it reads.
fn has_escapes(written: &[u8]) -> bool {
    let (chunks, rest) = written.as_chunks::<8>();
    chunks.iter().any(|bytes| zeros(u64::from_le_bytes(*bytes) ^ eight(b'\\')) != 0) || rest.contains(&b'\\')
}

/// Which of these names a member's name is, as it is written.
pub(super) fn among(written: &[u8], names: &[Box<str>]) -> Option<usize> {
    let position = |text: &[u8]| names.iter().position(|name| name.as_bytes() == text);
    position(written).or_else(|| has_escapes(written).then(|| decoded(written)).flatten().and_then(|text| position(&text)))
}

/// The text of what stands between the quotes of a string; nothing where it has none, as half of a surrogate pair.
pub(super) fn decoded(written: &[u8]) -> Option<Vec<u8>> {
    if !written.contains(&b'\\') {
        return Some(written.to_vec());
    }
    let quoted = [b"\"", written, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).ok().map(String::into_bytes)
}

/// What kind of value begins with this byte, for people.
pub(super) fn kind(first: u8) -> &'static str {
    match first {
        b'{' => "an object",
        b'[' => "a list",
        b'"' => "a text",
        b't' | b'f' => "true or false",
        b'n' => "null",
        _ => "a number",
    }
}

/// What lies at a place of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    One(Range),
    /// The way there led through arrays.
    Many(Vec<Range>),
}

/// Finds what lies at a place. As everywhere arrays are entered by themselves, a number picks one element, and of members of one name the last one counts.
pub(super) fn find(text: &[u8], of: Range, steps: &[Step]) -> Found {
    let mut at = of;
    for (index, step) in steps.iter().enumerate() {
        let next = match step {
            Step::Segment(Segment::Name(name)) if byte(text, at.begin as usize) != b'[' => member(text, at, name),
            Step::Element(element) => elements(text, at).nth(*element as usize),
            Step::Segment(_) => {
                let mut all = Vec::new();
                elements(text, at).for_each(|element| gather(text, element, &steps[index..], &mut all));
                return Found::Many(all);
            }
        };
        match next {
            Some(next) => at = next,
            None => return Found::Nothing,
        }
    }
    Found::One(at)
}

fn gather(text: &[u8], of: Range, steps: &[Step], all: &mut Vec<Range>) {
    match find(text, of, steps) {
        Found::Nothing => {}
        Found::One(one) => all.push(one),
        Found::Many(many) => all.extend(many),
    }
}

fn member(text: &[u8], of: Range, name: &str) -> Option<Range> {
    members(text, of).filter(|(written, _)| is_named(written, name.as_bytes())).last().map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use frontgate_filters::json::Place;

    use super::*;

    fn found(text: &str, place: &str) -> Vec<String> {
        let place: Place = if place.is_empty() { Place::WHOLE } else { place.parse().expect("a place") };
        let text = text.as_bytes();
        let told = |range: Range| String::from_utf8_lossy(range.of(text)).into_owned();
        match find(text, Range::whole(text), place.steps()) {
            Found::Nothing => vec!["nothing".to_owned()],
            Found::One(one) => vec![told(one)],
            Found::Many(many) => ["many".to_owned()].into_iter().chain(many.into_iter().map(told)).collect(),
        }
    }

    #[test]
    fn what_lies_at_a_place_is_found() {
        let text = r#"{ "a" : {"b":[ 1 , {"c": "x\"}]"} ,{"c":null}, [{"c":[]}] ] } , "a\u0062" : true, "d":1, "d" : [ ],"e":{}}"#;

        assert_eq!(found(text, "a.b.1.c"), [r#""x\"}]""#]);
        assert_eq!(found(text, "a.b.c"), ["many", r#""x\"}]""#, "null", "[]"]);
        assert_eq!(found(text, "ab"), ["true"]);
        assert_eq!(found(text, "d"), ["[ ]"], "the last one counts");
        assert_eq!(found(text, "d.x"), ["many"]);
        assert_eq!(found(text, "e.x"), ["nothing"]);
        assert_eq!(found(text, "a.b.9"), ["nothing"]);
        assert_eq!(found("3", "a"), ["nothing"]);
        assert_eq!(found("[[1],2]", ""), ["[[1],2]"]);
    }

    #[test]
    fn members_and_elements_come_in_their_order() {
        let text = br#"{"a":1,"b" : "\\","c":[{},"]",[ ],-1.5e3 ]}"#;
        let all: Vec<_> = members(text, Range::whole(text)).map(|(name, value)| (name, value.of(text))).collect();
        assert_eq!(all, [(&b"a"[..], &b"1"[..]), (b"b", br#""\\""#), (b"c", br#"[{},"]",[ ],-1.5e3 ]"#)]);

        let array = br#" [{},"]",[ ],-1.5e3 ]"#;
        let range = Range { begin: 1, end: array.len() as u32 };
        let all: Vec<_> = elements(array, range).map(|value| value.of(array)).collect();
        assert_eq!(all, [&b"{}"[..], br#""]""#, b"[ ]", b"-1.5e3"]);
        assert_eq!(elements(b"{}", Range { begin: 0, end: 2 }).count() + members(b"[]", Range { begin: 0, end: 2 }).count(), 0);
    }

    #[test]
    fn the_end_of_a_string_is_found_wherever_its_quote_and_what_is_escaped_lie() {
        for before in 0..70 {
            for escapes in ["", r#"\""#, r"\\", r#"\\\""#, "\u{22}\u{5c}"] {
                let inner = format!("{}{escapes}{}", "é".repeat(before / 2), "x".repeat(before % 2));
                let inner = if escapes.starts_with('"') { inner.replace('"', "'").replace('\\', "/") } else { inner };
                for behind in ["", ",", " : \"y\"", "\"\"\"\"\"\"\"\"\"", "\\\\\\\\\\\\\\\\"] {
                    let text = format!("\"{inner}\"{behind}");

                    assert_eq!(behind_string(text.as_bytes(), 0), inner.len() + 2, "{text}");
                    assert_eq!(behind_string(&text.as_bytes()[..inner.len() + 1], 0), inner.len() + 1, "not closed: {text}");
                }
            }
        }
    }

    #[test]
    fn a_name_is_known_however_it_is_written() {
        let names = ["a", "b\"", ""].map(Box::from);
        let found = |written: &str| among(written.as_bytes(), &names);

        assert_eq!(["a", "\\u0061", "b\\\"", "b\\u0022", ""].map(found), [Some(0), Some(0), Some(1), Some(1), Some(2)]);
        assert_eq!(["c", "\\u0063", "a\\u0000", "\\ud800"].map(found), [None; 4]);
    }

    #[test]
    fn a_text_that_nobody_proved_harms_nobody() {
        for text in ["", "{", "{\"", "{\"a", "{\"a\"", "{\"a\":", "[", "[1", "[1,", "\"\\", "[\"\\", "{\"a\":[}", "]", "}", "[]]"] {
            let text = text.as_bytes();
            for end in 0..=text.len() as u32 {
                let range = Range { begin: 0, end };
                assert!(members(text, range).take(10).count() < 10 && elements(text, range).take(10).count() < 10);
            }
        }
    }
}
