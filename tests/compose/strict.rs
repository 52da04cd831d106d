//! A slow and strict reading of JSON (RFC 8259), as deep as memory allows: what says that an answer is well-formed must not be what made it so.

/// The members of an object as they are written: names decoded, values as their bytes.
pub type Members = Vec<(String, String)>;

/// Nothing where this is not exactly one value; white space around it is no part of it.
pub fn value(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    let mut reader = Reader { text, at: 0 };
    let found = reader.value()?;
    reader.space();
    (reader.at == text.len()).then_some(found)
}

/// The members of one object, in their order; a name that is there twice is there twice.
pub fn members(text: &[u8]) -> Option<Members> {
    let object = value(text)?;
    let mut reader = Reader { text: object, at: 0 };
    let mut members = Vec::new();
    reader.take(b'{').then_some(())?;
    reader.space();
    if reader.take(b'}') {
        return Some(members);
    }
    loop {
        reader.space();
        let name = reader.string()?;
        reader.space();
        reader.take(b':').then_some(())?;
        let value = reader.value()?;
        members.push((serde_json::from_str(name).ok()?, value.to_owned()));
        reader.space();
        if reader.take(b'}') {
            return Some(members);
        }
        reader.take(b',').then_some(())?;
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

/// What may come next within a container.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Value,
    ValueOrEnd,
    NameOrEnd,
    Name,
    CommaOrEnd,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// One value of any depth, without recursion.
    fn value(&mut self) -> Option<&'t str> {
        self.space();
        let start = self.at;
        let mut open = Vec::new();
        let mut next = Next::Value;
        loop {
            self.space();
            match (next, self.peek()?) {
                (Next::CommaOrEnd, b',') => {
                    self.at += 1;
                    next = if open.last() == Some(&b'{') { Next::Name } else { Next::Value };
                    continue;
                }
                (Next::CommaOrEnd | Next::ValueOrEnd | Next::NameOrEnd, end @ (b']' | b'}')) => {
                    self.at += 1;
                    // The two are two apart in ASCII.
                    (open.pop()? == end - 2).then_some(())?;
                }
                (Next::Name | Next::NameOrEnd, b'"') => {
                    self.string()?;
                    self.space();
                    self.take(b':').then_some(())?;
                    next = Next::Value;
                    continue;
                }
                (Next::Value | Next::ValueOrEnd, kind @ (b'[' | b'{')) => {
                    self.at += 1;
                    open.push(kind);
                    next = if kind == b'{' { Next::NameOrEnd } else { Next::ValueOrEnd };
                    continue;
                }
                (Next::Value | Next::ValueOrEnd, _) => self.scalar()?,
                _ => return None,
            }
            next = Next::CommaOrEnd;
            if open.is_empty() {
                return Some(&self.text[start..self.at]);
            }
        }
    }

    fn scalar(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number(),
            _ => {
                ["true", "false", "null"].into_iter().find(|word| self.text[self.at..].starts_with(word)).map(|word| self.at += word.len())
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > from).then_some(())
    }

    /// A string with its quotes; half of a pair of surrogates is taken, as the grammar does.
    fn string(&mut self) -> Option<&'t str> {
        let start = self.at;
        self.take(b'"').then_some(())?;
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return Some(&self.text[start..self.at]),
                b'\\' => {
                    let kind = self.peek()?;
                    self.at += 1;
                    if kind == b'u' {
                        let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
                        digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                        self.at += 4;
                    } else {
                        br#""\/bfnrt"#.contains(&kind).then_some(())?;
                    }
                }
                0..0x20 => return None,
                _ => {}
            }
        }
    }
}

#[test]
fn the_strict_reading_takes_and_refuses_the_json_test_suite_as_it_says() {
    let suite = super::hostile::suite();

    for (name, text) in &suite {
        match &name[..2] {
            "y_" => assert!(value(text).is_some(), "{name}"),
            "n_" => assert!(value(text).is_none(), "{name}"),
            _ => {}
        }
    }

    assert_eq!(
        members(br#" {"a" : [1, {}], "\u0061":"x" } "#).unwrap(),
        [("a".to_owned(), "[1, {}]".to_owned()), ("a".to_owned(), "\"x\"".to_owned())]
    );
}
