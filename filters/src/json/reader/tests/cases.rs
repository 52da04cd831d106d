//! One rule each, in every chunking, by every backend.

use super::*;
use crate::json::Policy;
use crate::json::engine::tests::{dropping, keeping};

fn plan(policy: &Policy, renames: &[(&str, &str)], marks: &[(&str, bool)]) -> Arc<Plan> {
    let renames: Vec<_> = renames.iter().map(|(path, name)| (path.parse().expect("a path"), (*name).to_owned())).collect();
    let marks: Vec<_> = marks
        .iter()
        .enumerate()
        .map(|(number, (place, each))| Mark {
            number: number as u16,
            place: if place.is_empty() { crate::json::Place::WHOLE } else { place.parse().expect("a place") },
            each: *each,
        })
        .collect();
    Arc::new(Plan::new(policy, &renames, &marks).expect("a plan"))
}

/// What `look` sees of the document, the same in every chunking.
fn seen<T: PartialEq + std::fmt::Debug>(plan: &Arc<Plan>, text: &str, look: impl Fn(&Document) -> T) -> T {
    let mut results: Vec<T> = Vec::new();
    for backend in Backend::available() {
        for step in 1..=text.len() {
            let document =
                read(plan, backend, text.as_bytes(), &steps(text.as_bytes(), step)).unwrap_or_else(|fault| panic!("{text}: {fault}"));
            results.push(look(&document));
            results.dedup();
            assert_eq!(results.len(), 1, "{text} in steps of {step}, {backend:?}: {results:?}");
        }
    }
    results.remove(0)
}

fn text(proved: crate::json::Proved) -> String {
    let length = proved.len();
    let bytes = proved.into_bytes();
    assert_eq!(bytes.len(), length);
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn left(plan: &Arc<Plan>, input: &str) -> String {
    seen(plan, input, |document| text(document.whole()))
}

/// Number, value, and the elements that lead to it.
fn marked(plan: &Arc<Plan>, input: &str) -> Vec<(u16, String, Vec<u32>)> {
    seen(plan, input, |document| {
        let one = |found: &Found| (found.number, text(document.get(found)), document.passed(found));
        document.found().iter().map(one).collect::<Vec<_>>()
    })
}

#[test]
fn a_fault_is_named_with_its_place() {
    use What::*;
    for (text, at, what) in [
        (&b""[..], 0, Nothing),
        (b" \n", 2, Nothing),
        (b",", 0, NoValue),
        (b"[1,]", 3, NoValue),
        (b"[,1]", 1, NoValue),
        (b"{\"a\":}", 5, NoValue),
        (b"[}", 1, NoValue),
        (b"[+1]", 1, NoValue),
        (b"[.5]", 1, NoValue),
        (b"[NaN]", 1, NoValue),
        (b"\xef\xbb\xbf{}", 0, NoValue),
        (b"{\"a\":1,}", 7, NoName),
        (b"{1:1}", 1, NoName),
        (b"{]", 1, NoName),
        (b"{\"a\" 1}", 5, NoColon),
        (b"{\"a\",\"b\"}", 4, NoColon),
        (b"[1 2]", 3, NoComma),
        (b"[1}", 2, NoComma),
        (b"{\"a\":1]", 6, NoComma),
        (b"[01]", 2, NoComma),
        (b"[nulll]", 5, NoComma),
        (b"[0x1]", 2, NoComma),
        (b"[1.]", 3, NoDigit),
        (b"[-]", 2, NoDigit),
        (b"[-a]", 2, NoDigit),
        (b"[1e]", 3, NoDigit),
        (b"[1e+]", 4, NoDigit),
        (b"[1.e1]", 3, NoDigit),
        (b"[nul]", 4, NoWord),
        (b"[tru", 4, Early),
        (b"truE", 3, NoWord),
        (b"[\"a\x00b\"]", 3, Control),
        (b"\"\t\"", 1, Control),
        (b"\"a\nb", 2, Control),
        (b"\"\\x\"", 2, Escape),
        (b"\"\\\xff\"", 2, Escape),
        (b"\"\\u12\"", 5, Hexadecimal),
        (b"\"\\u12g4\"", 5, Hexadecimal),
        (b"\"a\xffb\"", 2, Utf8),
        (b"\"\xe2\x82\"", 1, Utf8),
        (b"\"\xed\xa0\x80\"", 1, Utf8),
        (b"\"\xf4\x90\x80\x80\"", 1, Utf8),
        (b"\"\xc0\x80\"", 1, Utf8),
        (b"1 2", 2, Second),
        (b"{}{}", 2, Second),
        (b"[]]", 2, Second),
        (b"[1", 2, Early),
        (b"{\"a", 3, Early),
        (b"{\"a\"", 4, Early),
        (b"{\"a\":", 5, Early),
        (b"{\"a\":1", 6, Early),
        (b"\"", 1, Early),
        (b"-", 1, Early),
        (b"1e", 2, Early),
        (b"\"\xe2\x82", 3, Early),
        (b"\\\"\\u\"", 0, NoValue),
        (b"[1,\\\"\x01\"]", 3, NoValue),
    ] {
        assert_eq!(fault(text), Some(Fault { at, what }), "{}", text.escape_ascii());
    }
}

#[test]
fn one_value_of_any_kind_is_right() {
    for text in [
        "0",
        "-0",
        "10",
        "1.5",
        "-1.25e+10 ",
        "1E9",
        "12345678901234567890123",
        "true",
        " false\n",
        "null",
        "\"\"",
        r#""\"\\\/\b\f\n\r\t\u00e9""#,
        "{}",
        "[]",
        " [ ] ",
        "{ }",
        r#"{"":0}"#,
        "[[],{},[{}]]",
        r#"{"a":{"b":[1,"2",null]}}"#,
        r#""\ud800""#,
        r#"["\udc00\ud800"]"#,
        "\"é€😀\"",
        "\"\u{7f}\"",
    ] {
        assert_eq!(fault(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn strings_are_read_across_blocks_and_windows() {
    for length in [60, 61, 62, 63, 64, 65, 126, 127, 128, 1020, 1022, 1023, 1024, 1025, 2047, 2048, 5000] {
        for end in ["\"", "\\\\\"", "\\\"\"", "é\"", "\\u00e9\"", "\\u00zz\"", "\\q\"", "\u{1}\"", "\""] {
            let text = format!("\"{}{end}", "x".repeat(length));
            let expected = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            let mut results: Vec<_> = Backend::available()
                .into_iter()
                .flat_map(|backend| [1, 5, 64, 1000, length, length + 1, length + 2, length + 3, 10_000].map(|step| (backend, step)))
                .map(|(backend, step)| read(&Arc::default(), backend, text.as_bytes(), &steps(text.as_bytes(), step)).err())
                .collect();
            results.dedup();
            assert_eq!(results.len(), 1, "{length} {end} {results:?}");
            assert_eq!(results[0].is_none(), expected, "{length} {end} {results:?}");
        }
    }
}

#[test]
fn depth_is_bounded_and_nothing_calls_itself() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let plans = [Arc::default(), plan(&dropping(&["**.a"]), &[], &[("**.b", true)]), plan(&dropping(&["a"]), &[], &[("x", true)])];
    for plan in &plans {
        for (depth, fault) in [(512, None), (513, Some(512)), (10_000, Some(512)), (1_000_000, Some(512))] {
            let text = nested(depth);
            for step in [text.len(), 4096] {
                let found = read(plan, Backend::best(), text.as_bytes(), &steps(text.as_bytes(), step)).err();
                assert_eq!(found, fault.map(|at| Fault { at, what: What::TooDeep }));
            }
        }
        let open = "{\"x\":".repeat(1_000_000);
        assert_eq!(
            read(plan, Backend::best(), open.as_bytes(), &[open.len()]).err(),
            Some(Fault { at: 512 * 5, what: What::TooDeep }),
            "objects are counted as arrays are"
        );
    }
}

#[test]
fn what_is_noted_of_a_text_is_bounded() {
    let most = MOST_TOUCHED;
    let marks = plan(&dropping(&[]), &[], &[("a", true)]);
    let renames = plan(&dropping(&[]), &[("a", "b")], &[]);
    for (plan, begin, one, end) in [(&marks, "{\"a\":[1", ",1", "]}"), (&renames, "{\"a\":1", ",\"a\":1", "}")] {
        for (count, fault) in [(most, None), (most + 1, Some(What::TooMany))] {
            let text = format!("{begin}{}{end}", one.repeat(count - 1));
            for step in [1000, text.len()] {
                let found = read(plan, Backend::best(), text.as_bytes(), &steps(text.as_bytes(), step)).err();
                let at = (begin.len() + one.len() * (count - 1) - 1) as u64;
                assert_eq!(found, fault.map(|what| Fault { at, what }));
            }
        }
    }
}

#[test]
fn a_member_gets_another_name_and_all_else_stays() {
    let renaming = plan(&dropping(&[]), &[("date", "created_at"), ("items.id", "a\"b")], &[]);

    let input =
        "{ \"date\" : \"x\", \"items\":[{\"id\":1,\"x\":{\"id\":2}},[{ \"id\" :[{\"id\":3}]}]], \"id\":4, \"d\\u0061te\": {\"date\": 5} }";

    let expected = "{ \"created_at\" : \"x\", \"items\":[{\"a\\\"b\":1,\"x\":{\"id\":2}},[{ \"a\\\"b\" :[{\"id\":3}]}]], \"id\":4, \"created_at\": {\"date\": 5} }";
    assert_eq!(left(&renaming, input), expected);
}

#[test]
fn new_names_go_with_keep_and_drop() {
    let both = plan(&keeping(&["a.b", "c"]), &[("a", "A"), ("a.b", "B"), ("a.x", "X"), ("c", "")], &[]);
    assert_eq!(left(&both, r#"{"x":1,"a":{"x":1,"b":{"b":2}},"c":3,"a":"secret"}"#), r#"{"A":{"B":{"b":2}},"":3}"#);

    let dropped = plan(&dropping(&["a"]), &[("a", "A"), ("b", "BB")], &[]);
    assert_eq!(left(&dropped, r#"{"a":1,"b":2}"#), r#"{"BB":2}"#);
    assert_eq!(left(&dropped, r#"{"b":2 , "a":1}"#), r#"{"BB":2 }"#);
}

#[test]
fn marked_values_are_told_with_the_elements_on_the_way() {
    let marks = plan(&dropping(&[]), &[], &[("cart.id", false), ("cart.items.sku", true), ("cart.items", true), ("cart.items", false)]);
    let input = r#"{"cart": {"items": [{"sku": ["a", ["b"]]}, [{"sku": 1}], 2], "id": {"x": [ ]} }, "items": 1}"#;
    let item = r#"{"sku": ["a", ["b"]]}"#;
    assert_eq!(
        marked(&marks, input),
        [
            (3, format!("[{item}, [{{\"sku\": 1}}], 2]"), vec![]),
            (2, item.to_owned(), vec![0]),
            (1, "\"a\"".to_owned(), vec![0, 0]),
            (1, "\"b\"".to_owned(), vec![0, 1, 0]),
            (2, "{\"sku\": 1}".to_owned(), vec![1, 0]),
            (1, "1".to_owned(), vec![1, 0]),
            (2, "2".to_owned(), vec![2]),
            (0, "{\"x\": [ ]}".to_owned(), vec![]),
        ]
    );
}

#[test]
fn a_number_picks_one_element() {
    let marks = plan(&dropping(&[]), &[], &[("a.1", false), ("a.1.b", false), ("a.0.0", true), (r#"a."1""#, false)]);
    assert_eq!(
        marked(&marks, r#"{"a":[[5,[6]],{"b":7,"1":8},{"b":9}],"1":0}"#),
        [
            (2, "5".to_owned(), vec![0, 0]),
            (0, r#"{"b":7,"1":8}"#.to_owned(), vec![1]),
            (1, "7".to_owned(), vec![1]),
            (3, "8".to_owned(), vec![1]),
        ]
    );
    assert_eq!(marked(&marks, r#"{"a":{"1":{"b":1}}}"#), [(3, r#"{"b":1}"#.to_owned(), vec![])], "an object has no elements");
}

#[test]
fn the_whole_document_can_be_marked() {
    let whole = plan(&keeping(&["id"]), &[("id", "ID")], &[("", false), ("", true)]);
    assert_eq!(marked(&whole, " 12 "), [(0, "12".to_owned(), vec![]), (1, "12".to_owned(), vec![])]);
    assert_eq!(marked(&whole, "\"x\""), [(0, "\"x\"".to_owned(), vec![]), (1, "\"x\"".to_owned(), vec![])]);
    assert_eq!(marked(&whole, r#"{"x":1,"id":2} "#)[0].1, r#"{"ID":2}"#);
    assert_eq!(
        marked(&whole, r#"[{"id":2},3,[{"x":1}]]"#),
        [(0, r#"[{"ID":2},[{}]]"#.to_owned(), vec![]), (1, r#"{"ID":2}"#.to_owned(), vec![0]), (1, "{}".to_owned(), vec![2, 0])]
    );
}

#[test]
fn what_goes_is_not_marked() {
    let marks = plan(&keeping(&["a.b"]), &[], &[("a", false), ("a.b", false), ("a.c", false), ("**.d", false)]);
    assert_eq!(marked(&marks, r#"{"d":1,"a":{"c":1,"b":[1]}}"#), [(0, r#"{"b":[1]}"#.to_owned(), vec![]), (1, "[1]".to_owned(), vec![])]);
    assert_eq!(marked(&marks, r#"{"a":1}"#), []);
}

#[test]
fn members_are_put_in_at_the_end_of_objects() {
    let items = plan(&dropping(&["items.product"]), &[], &[("items", true), ("", false)]);
    let name = crate::json::splice::MemberName::new("product");
    let put_in = |input: &str, times: usize| {
        seen(&items, input, |document| {
            let values = (0..).map(|number| crate::json::Proved::from(&serde_json::json!({"n": number})));
            let found = document.marked(0).chain(document.marked(1)).flat_map(|found| std::iter::repeat_n(found, times));
            text(document.with_members(found.zip(values).map(|(found, value)| (found, &name, value))))
        })
    };
    assert_eq!(
        put_in(r#" {"items":[{},{"id":1 },{"product":"x"},5,[{"id":2}]]} "#, 1),
        r#"{"items":[{"product":{"n":0}},{"id":1 ,"product":{"n":1}},{"product":{"n":2}},5,[{"id":2,"product":{"n":4}}]],"product":{"n":5}}"#
    );
    assert_eq!(put_in("{ }", 2), r#"{ "product":{"n":0},"product":{"n":1}}"#);
    assert_eq!(put_in("[1]", 2), "[1]");
}

#[test]
fn what_nobody_touches_is_not_copied() {
    let input = Bytes::from(br#" {"a":[1,2],"b":3} "#.to_vec());
    let marks = plan(&dropping(&["b"]), &[], &[("a", false)]);
    let mut reader = Reader::new(marks);
    reader.push(input.clone()).expect("a value");
    let document = reader.finish().expect("a value");

    let value = document.get(&document.found()[0]).into_bytes();

    assert_eq!(value, "[1,2]");
    assert_eq!(value.as_ptr(), input[6..].as_ptr());
}

#[test]
fn new_names_that_cannot_be_given_are_refused() {
    let refused = |renames: &[(&str, &str)]| {
        let renames: Vec<_> = renames.iter().map(|(path, name)| (path.parse().expect("a path"), (*name).to_owned())).collect();
        Plan::new(&dropping(&[]), &renames, &[]).expect_err("refused").to_string()
    };
    assert_eq!(refused(&[("a.*", "x")]), "`a.*` ends with a star, so that all its members would get one name");
    assert_eq!(refused(&[("a.b", "x"), ("**.b", "y")]), "a member would become both `x` (by `a.b`) and `y` (by `**.b`)");
    assert!(
        Plan::new(
            &dropping(&[]),
            &[("a.b".parse().expect("a path"), "x".to_owned()), ("*.b".parse().expect("a path"), "x".to_owned())],
            &[]
        )
        .is_ok()
    );
}
