use super::*;

/// What is found: `line:column message`.
fn found(text: &str) -> String {
    match explain(text) {
        None => "nothing".to_owned(),
        Some(mistake) => {
            let before = &text[..mistake.range.start];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            format!("{line}:{column} {}", mistake.message)
        }
    }
}

#[test]
fn mistakes_are_found_where_they_are() {
    for (text, expected) in [
        ("a: 1\n\tb: 2\n", "2:1 this line is indented with a tab"),
        ("a:\n \tb: 2\n", "2:2 this line is indented with a tab"),
        ("a:\n\u{2003}b: 2\n", "2:1 this line is indented with a space of another width (U+2003)"),
        ("a:\n  b: [x, y\n  c: 1\n", "2:6 this `[` is not closed"),
        ("a:\n  b: {x: [1, 2}\n", "2:10 this `[` is not closed"),
        ("a: [x,\n  y\n", "1:4 this `[` is not closed"),
        ("a: {b: 1\n", "1:4 this `{` is not closed"),
        ("a:\n   b: 1\n  c: 2\n", "2:4 this line is indented by 3, its neighbours by 2"),
        ("a:\n  b: 1\n  c: 2\n   d: 3\n", "4:4 this line is indented by 3, its neighbours by 2"),
        ("a:\n   b: 1\n    c: 2\n    d: 3\n", "2:4 this line is indented by 3, its neighbours by 4"),
        ("a:\n  - b: 1\n     c: 2\n", "3:6 this line is indented by 5, its neighbours by 4"),
        ("a:\n  - b: 1\n   c: 2\n", "3:4 this line is indented by 3, its neighbours by 4"),
        ("a:\n  - b: 1\n    c: 2\n   - d: 3\n", "4:4 this line is indented by 3, its neighbours by 2"),
        ("a:\n  - b: 1\n  c: 2\n", "3:3 a `-` is missing before this entry of a list"),
        ("a:\n  b:\n     c: 1\n    d: 2\n", "3:6 this line is indented by 5, its neighbours by 4"),
        ("a:\n b:\n    c: 1\n  d: 2\n", "2:2 this line is indented by 1, its neighbours by 2"),
        ("a:\n   - b: 1\n    c: 2\n", "2:4 this line is indented by 3, its neighbours by 2"),
        ("a:\n  b: |\n    one\n   two\n", "4:4 this line is indented by 3, the block of text that it stands in by 4"),
        ("a:\n  b: |2\n      one\n    two\n  c: *x\n", "5:6 there is no anchor `x`"),
        ("a:\n  b: |\n    one\n   # no text any more\n  c: *x\n", "5:6 there is no anchor `x`"),
        ("a:\n  b:x\n  c: 2\n", "2:4 a space is missing after this colon"),
        ("a: 1\nb\n  c: 2\n", "2:1 a colon is missing after `b`"),
        ("a:\n  - b\n    c: 2\n", "2:5 a colon is missing after `b`"),
        ("a:\n  - b:x\n    c: 2\n", "2:6 a space is missing after this colon"),
        ("a: 1\n- b\n", "2:1 a list cannot begin here: the entries above it are keys"),
        ("a: - b\n", "1:4 a list cannot begin on the line of its key"),
        ("a: 1\nb:2\nc: 3\n", "2:2 a space is missing after this colon"),
        ("a: b: c\n", "1:4 `b: c` must be quoted: a colon and a space in a value begin another key"),
        ("a: *\n", "1:4 `*` must be quoted: `*` begins an alias in YAML"),
        ("a: *.shop.example\n", "1:4 `*.shop.example` must be quoted: `*` begins an alias in YAML"),
        ("a: [\"* /**\", * /x]\n", "1:14 `* /x` must be quoted: `*` begins an alias in YAML"),
        ("a: @b\n", "1:4 `@b` must be quoted: it cannot begin a value in YAML"),
        ("a: {p: /x/{id}/y}\n", "1:8 `/x/{id}/y` must be quoted: a bracket begins a list or a map in YAML"),
        ("a: [[::1]:80]\n", "1:5 `[::1]:80` must be quoted: a bracket begins a list or a map in YAML"),
        ("a: [::1]:80 # local\n", "1:4 `[::1]:80` must be quoted: a bracket begins a list or a map in YAML"),
        ("a: \"b\" c\n", "1:8 nothing may follow the closing quote"),
        ("a: \"b\nc: d\n", "1:4 this `\"` is not closed"),
        ("a: {b: 1 c: 2}\n", "1:10 a comma is missing before `c`"),
        ("a: {b: 1,\n  c: 2\n  d: 3}\n", "3:3 a comma is missing before `d`"),
        ("a: 1\n---\nb: 2\n", "2:1 a second document begins here"),
        ("a: &x 1\nb: *y\n", "2:4 there is no anchor `y`"),
        ("a: {<<: *x}\nb: &x {}\n", "1:9 there is no anchor `x`"),
    ] {
        assert_eq!(found(text), expected, "{text}");
    }
}

#[test]
fn nothing_is_found_in_what_is_right() {
    for text in [
        include_str!("../../../../conf/frontgate.yaml"),
        include_str!("../../../../conf/demo.yaml"),
        "---\na: 1\n...\n",
        "a:\n- b: 1\n  c: 2\n-\n  d: 3\ne: f\n",
        "a: |\n  x: [\n  \t{\n  * \"\nb: >-\n  y\n",
        "a: one\n  two\n  three\nb: 'it''s'\nc: \"a \\\" b\"\n",
        "a: {b: [c, d],\n  e: \"f, g: h\", i: https://x/y}\nj: # nothing\n  - k\n",
        "a: &x\n  b: 1\nc:\n  <<: *x\n  d: http://h:80/\n",
        "a: \"x\n  y\"\nb: 1\n",
        "- - a\n  - b\n- c\n",
        "\"a b\": 1\n'c': {\"d\":1}\n",
    ] {
        assert_eq!(found(text), "nothing", "{text}");
    }
}
