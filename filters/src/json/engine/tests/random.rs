//! Random documents, policies and cuts.

use super::reference::Rules;
use crate::json::path::Path;

pub struct Random(pub u64);

const NAMES: &[&str] =
    &["a", "b", "c", "id", "items", "images", "debug", "hd", "é", "a.b", "x\"y", "back\\slash", "", "averyveryverylongname1"];

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn rules(&mut self) -> Vec<Rules> {
        let one = |random: &mut Self, keep: bool| {
            let paths = (0..random.below(4) + usize::from(!random.one_in(20))).map(|_| random.path()).collect();
            Rules { keep, paths }
        };
        match self.below(10) {
            0..=4 => vec![one(self, false)],
            5..=7 => vec![one(self, true)],
            8 => vec![one(self, false), one(self, true)],
            _ => (0..2)
                .map(|_| {
                    let keep = self.one_in(2);
                    one(self, keep)
                })
                .collect(),
        }
    }

    pub fn path(&mut self) -> Path {
        let few = if self.one_in(2) { 5 } else { NAMES.len() };
        let mut text = String::new();
        let length = 1 + self.below(3);
        let mut deep = false;
        for index in 0..length {
            if index > 0 {
                text.push('.');
            }
            match self.below(12) {
                0 => text.push('*'),
                1 if index + 1 < length && !deep => {
                    text.push_str("**");
                    deep = true;
                    continue;
                }
                2 if index == 0 => text.push_str("**.a"),
                _ => {
                    let name = NAMES[self.below(few)];
                    text.push_str(&format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")));
                }
            }
            deep = false;
        }
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// One JSON text, valid; now and then several.
    pub fn document(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let values = if self.one_in(12) { 1 + self.below(4) } else { 1 };
        for _ in 0..values {
            self.white(&mut out);
            let mut budget = match self.below(20) {
                0 => 400,
                1..=4 => 80,
                _ => 20,
            };
            let style = self.below(4);
            if self.one_in(12) {
                self.value(&mut out, 0, &mut budget, style)
            } else {
                self.container(&mut out, 0, &mut budget, style)
            }
            self.white(&mut out);
            if values > 1 {
                out.push(b'\n');
            }
        }
        out
    }

    /// One JSON value with white space around it.
    pub fn value_text(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.white(&mut out);
        let mut budget = [20, 20, 20, 80][self.below(4)];
        let style = self.below(4);
        if self.one_in(12) {
            self.value(&mut out, 0, &mut budget, style)
        } else {
            self.container(&mut out, 0, &mut budget, style)
        }
        self.white(&mut out);
        out
    }

    fn white(&mut self, out: &mut Vec<u8>) {
        if self.one_in(6) {
            for _ in 0..if self.one_in(30) { self.below(200) } else { 1 + self.below(4) } {
                out.push(b" \n\t\r "[self.below(5)]);
            }
        }
    }

    /// Styles: 0 is minified, 1 is printed, others have white space anywhere.
    fn between(&mut self, out: &mut Vec<u8>, depth: usize, style: usize, line: bool) {
        match style {
            0 => {}
            1 if line => {
                out.push(b'\n');
                out.extend(std::iter::repeat_n(b' ', 2 * depth));
            }
            1 => {}
            _ => self.white(out),
        }
    }

    fn value(&mut self, out: &mut Vec<u8>, depth: usize, budget: &mut usize, style: usize) {
        *budget = budget.saturating_sub(1);
        match self.below(10) {
            0..=3 if depth < 12 && *budget > 0 => self.container(out, depth, budget, style),
            4..=6 => self.string(out),
            7 | 8 => out.extend_from_slice([&b"0"[..], b"-1.5e+10", b"12345678901234567890", b"7"][self.below(4)]),
            _ => out.extend_from_slice([&b"true"[..], b"false", b"null"][self.below(3)]),
        }
    }

    fn container(&mut self, out: &mut Vec<u8>, depth: usize, budget: &mut usize, style: usize) {
        let object = !self.one_in(3);
        out.push(if object { b'{' } else { b'[' });
        let members = self.below(6);
        for index in 0..members {
            if index > 0 {
                self.between(out, depth, style, false);
                out.push(b',');
            }
            self.between(out, depth + 1, style, true);
            if object {
                self.key(out);
                self.between(out, depth, style, false);
                out.push(b':');
                if style == 1 {
                    out.push(b' ');
                }
                self.between(out, depth, style, false);
            }
            self.value(out, depth + 1, budget, style);
        }
        self.between(out, depth, style, members > 0);
        out.push(if object { b'}' } else { b']' });
    }

    fn key(&mut self, out: &mut Vec<u8>) {
        let few = if self.one_in(2) { 5 } else { NAMES.len() };
        match self.below(40) {
            0 => return self.string(out),
            1 => return out.extend_from_slice(br#""\ud800""#),
            2 => return out.extend_from_slice(br#""a\u0000b""#),
            _ => {}
        }
        let name = NAMES[self.below(few)];
        let escape = self.one_in(8);
        out.push(b'"');
        for c in name.chars() {
            match c {
                _ if escape && self.one_in(2) => {
                    let hex = format!("\\u{:04x}", c as u32);
                    out.extend_from_slice(if self.one_in(2) { hex } else { hex.to_uppercase().replace("\\U", "\\u") }.as_bytes());
                }
                '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        out.push(b'"');
    }

    fn string(&mut self, out: &mut Vec<u8>) {
        out.push(b'"');
        for _ in 0..if self.one_in(40) { self.below(400) } else { self.below(8) } {
            match self.below(10) {
                0 => out.extend_from_slice([&br#"\""#[..], br"\\", br"\n", br"\u0041", br"\ud83d\ude00", br"\\\\\\"][self.below(6)]),
                1 => out.push(b"{}[]:, "[self.below(7)]),
                2 => out.extend_from_slice("é".as_bytes()),
                _ => out.push(b'a' + self.below(26) as u8),
            }
        }
        out.push(b'"');
    }

    /// Breaks a document: bytes lost, doubled, replaced, or the end cut off.
    pub fn damage(&mut self, text: &mut Vec<u8>) {
        for _ in 0..1 + self.below(2) {
            if text.is_empty() {
                return;
            }
            let at = self.below(text.len());
            match self.below(5) {
                0 => text.truncate(at),
                1 => drop(text.remove(at)),
                2 => text.insert(at, b"{}[]\":,\\ a1"[self.below(11)]),
                3 => text[at] = b"{}[]\":,\\ a1\n\x00\xff"[self.below(14)],
                _ => {
                    let end = (at + 1 + self.below(9)).min(text.len());
                    drop(text.drain(at..end));
                }
            }
        }
    }

    /// Where chunks end, the last one's end included.
    pub fn cuts(&mut self, length: usize) -> Vec<usize> {
        let mut cuts = match self.below(6) {
            0 => vec![],
            1 => (1..length).collect(),
            2 => vec![self.below(length + 1)],
            _ => {
                let step = 1 + self.below(length + 1).min(self.below(90));
                let mut cuts = Vec::new();
                let mut at = 0;
                while at < length {
                    cuts.push(at);
                    at += self.below(2 * step);
                }
                cuts
            }
        };
        cuts.push(length);
        cuts
    }
}
