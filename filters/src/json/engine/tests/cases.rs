//! One rule each, in every chunking, by every backend and both walkers.

use super::*;

#[test]
fn a_member_goes_with_the_comma_before_it_or_else_the_one_after() {
    let policy = dropping(&["a"]);
    assert_eq!(trimmed(&policy, r#"{"a":1}"#), "{}");
    assert_eq!(trimmed(&policy, r#"{"a":1,"b":2}"#), r#"{"b":2}"#);
    assert_eq!(trimmed(&policy, r#"{"b":2,"a":1}"#), r#"{"b":2}"#);
    assert_eq!(trimmed(&policy, r#"{"b":2,"a":1,"c":3}"#), r#"{"b":2,"c":3}"#);
    assert_eq!(trimmed(&policy, r#"{"a":1,"a":[],"a":{"a":1},"b":2,"a":"x"}"#), r#"{"b":2}"#);
}

#[test]
fn white_space_stays_around_what_stays() {
    let policy = dropping(&["a"]);
    assert_eq!(trimmed(&policy, "{\n  \"b\" : 2 ,\n  \"a\" : 1\n}\n"), "{\n  \"b\" : 2 \n}\n");
    assert_eq!(trimmed(&policy, "{\n  \"a\" : 1 ,\n  \"b\" : 2\n}"), "{\n  \"b\" : 2\n}");
    assert_eq!(trimmed(&policy, "{ \"a\" : 1 }"), "{ }");
    assert_eq!(trimmed(&policy, "{ \"a\" : 1 , \"a\" : 1 }"), "{ }");
}

#[test]
fn arrays_are_entered_however_deep() {
    let policy = dropping(&["items.hd"]);
    assert_eq!(trimmed(&policy, r#"{"items":[{"hd":1,"id":2},[[{"id":3,"hd":{}}],{"hd":4}]]}"#), r#"{"items":[{"id":2},[[{"id":3}],{}]]}"#);
    assert_eq!(trimmed(&policy, r#"[[{"items":{"hd":1}}],{"items":[{"hd":1}]}]"#), r#"[[{"items":{}}],{"items":[{}]}]"#);
    // Only directly: what a member of an element holds is somewhere else.
    let other = r#"{"items":[{"x":{"hd":1},"y":[{"hd":2}]}],"hd":3}"#;
    assert_eq!(trimmed(&policy, other), other);
}

#[test]
fn after_an_array_in_an_array_the_outer_ones_members_are_found_again() {
    let policy = dropping(&["a.b", "z"]);
    let text = r#"{"a":[[{"b":1}],{"b":2,"c":3},[],[{"c":[{"b":4}]}],{"b":5}],"b":6,"z":7}"#;
    assert_eq!(trimmed(&policy, text), r#"{"a":[[{}],{"c":3},[],[{"c":[{"b":4}]}],{}],"b":6}"#);
}

#[test]
fn keep_lets_only_what_is_named_and_the_way_to_it() {
    let policy = keeping(&["code", "items.id", "items.images.sd"]);
    assert_eq!(
        trimmed(&policy, r#"{"debug":1,"code":{"x":[1]},"items":[{"id":1,"images":{"hd":2,"sd":[3]}},{"x":1}],"z":[]}"#),
        r#"{"code":{"x":[1]},"items":[{"id":1,"images":{"sd":[3]}},{}]}"#
    );
}

#[test]
fn what_stands_in_place_of_a_container_on_the_way_goes() {
    let policy = keeping(&["items.id"]);
    assert_eq!(trimmed(&policy, r#"{"items":"secret"}"#), "{}");
    assert_eq!(trimmed(&policy, r#"{"items":["secret",1,{"id":2},null,["x",{"id":3}]]}"#), r#"{"items":[{"id":2},[{"id":3}]]}"#);
    assert_eq!(trimmed(&policy, r#"["secret",{"items":{}}]"#), r#"[{"items":{}}]"#);
    // But a scalar that is the whole document cannot go.
    assert_eq!(trimmed(&policy, r#" "text" "#), r#" "text" "#);
}

#[test]
fn stars_match_any_name_and_any_depth() {
    assert_eq!(trimmed(&dropping(&["*.x"]), r#"{"x":1,"a":{"x":1,"b":{"x":2}},"c":[{"x":3}]}"#), r#"{"x":1,"a":{"b":{"x":2}},"c":[{}]}"#);
    assert_eq!(
        trimmed(&dropping(&["**.x"]), r#"{"x":1,"a":{"x":1,"b":[{"x":2}]},"y":[[{"x":3,"z":4}]]}"#),
        r#"{"a":{"b":[{}]},"y":[[{"z":4}]]}"#
    );
    assert_eq!(trimmed(&dropping(&["a.**.x"]), r#"{"x":1,"a":{"x":1,"b":[{"x":2}]}}"#), r#"{"x":1,"a":{"b":[{}]}}"#);
    assert_eq!(trimmed(&keeping(&["**.x"]), r#"{"x":1,"a":{"y":1,"b":[{"x":2}]},"c":3}"#), r#"{"x":1,"a":{"b":[{"x":2}]}}"#);
    assert_eq!(trimmed(&dropping(&["*"]), r#"{"x":1,"a":{}}"#), "{}");
}

#[test]
fn escaped_keys_are_the_names_they_spell() {
    let policy = dropping(&["debug", r#""a\"b""#, "é", "😀"]);
    for key in [r"\u0064ebug", r"d\u0065bu\u0067", r#"a\"b"#, r"a\u0022b", "é", r"\u00e9", r"\u00E9", "😀", r"\ud83d\ude00"] {
        assert_eq!(trimmed(&policy, &format!(r#"{{"{key}":1,"x":"\\"}}"#)), r#"{"x":"\\"}"#, "{key}");
        assert_eq!(trimmed(&policy, &format!(r#"{{"x":"\\","{key}":[]}}"#)), r#"{"x":"\\"}"#, "{key}");
    }
    for key in [r"\\u0064ebug", r"\u0064ebu", r"\ud83d", r"\ud83d\ud83d", r"\ude00", r"debug\n", r"\u00"] {
        let text = format!(r#"{{"{key}":1}}"#);
        assert_eq!(trimmed(&policy, &text), text);
    }
}

#[test]
fn text_in_strings_is_no_structure() {
    let policy = dropping(&["a"]);
    for value in [r#""{\"a\":1}""#, r#""\\\"a\":""#, r#""a\\\\""#, r#""\"""#, r#"[":a","a:","\",\"a\":"]"#] {
        let text = format!(r#"{{"x":{value},"y":{value}}}"#);
        assert_eq!(trimmed(&policy, &text), text);
    }
}

#[test]
fn values_after_each_other_are_each_a_document() {
    let policy = dropping(&["a"]);
    assert_eq!(trimmed(&policy, "{\"a\":1}\n{\"b\":1,\"a\":2}\n[{\"a\":1}]{\"a\":3}1 \"x\"\n"), "{}\n{\"b\":1}\n[{}]{}1 \"x\"\n");
}

#[test]
fn a_body_of_nothing_is_not_defective() {
    assert_eq!(trimmed(&dropping(&["a"]), "  \n"), "  \n");
    assert_eq!(run(&keeping(&["a"]), OnMalformed::Abort, Backend::best(), b"", &[0], true), (vec![], None));
}

#[test]
fn long_keys_strings_and_white_space_pass_through_cuts() {
    let policy = dropping(&["a", "b.c"]);
    let long = "k".repeat(300);
    let space = " ".repeat(300);
    let text =
        format!(r#"{{"{long}":{{"a":1}},{space}"a"{space}:{space}"{long}"{space},"b":{{"{long}":"{long}",{space}"c":1}},"\n{long}":2}}"#);
    let expected = format!(r#"{{"{long}":{{"a":1}}{space},"b":{{"{long}":"{long}"}},"\n{long}":2}}"#);
    assert_eq!(trimmed(&policy, &text), expected);

    let policy = keeping(&["a"]);
    assert_eq!(trimmed(&policy, &text), format!(r#"{{"a"{space}:{space}"{long}"{space}}}"#));
}

#[test]
fn depth_is_no_matter_where_nothing_is_looked_at_and_bounded_elsewhere() {
    let deep = format!(r#"{{"x":{}1{},"a":2}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for backend in Backend::available() {
        let (out, malformed) = run(&dropping(&["a"]), OnMalformed::Abort, backend, deep.as_bytes(), &[70_000, deep.len()], true);
        assert_eq!(malformed, None);
        assert_eq!(out.len(), deep.len() - 6);
        let (out, malformed) = run(&keeping(&["a"]), OnMalformed::Abort, backend, deep.as_bytes(), &[70_000, deep.len()], true);
        assert_eq!((out, malformed), (br#"{"a":2}"#.to_vec(), None));

        let bare = "[".repeat(100_000);
        let (_, malformed) = run(&keeping(&["a"]), OnMalformed::Pass, backend, bare.as_bytes(), &[bare.len()], true);
        assert_eq!(malformed, Some(1024));
    }
}

#[test]
fn what_is_held_back_is_bounded() {
    for policy in [dropping(&["abc"]), keeping(&["abc"]), keeping(&["*.a"])] {
        for filler in [b'k', b' '] {
            let mut trimmer = Trimmer::new(policy.clone(), OnMalformed::Pass);
            let begin: &[u8] = if filler == b' ' { br#"{"x":1,"# } else { br#"{"x":1,""# };
            trimmer.push(&mut Some(Bytes::from_static(begin)), false).expect("valid so far");
            for _ in 0..200 {
                trimmer.push(&mut Some(Bytes::from(vec![filler; 1000])), false).expect("to be passed over");
                assert!(trimmer.state.header.held_mut().len() <= 64 * 1024 + 16);
            }
        }
    }
}

#[test]
fn a_defect_passes_the_rest_of_what_drops_and_hides_the_rest_of_what_keeps() {
    for (text, drop, keep) in [
        (r#"{"a":1,"b" 2,"c":3}"#, r#"{"b" 2,"c":3}"#, r#"{"a":1"#),
        (r#"{"b":2,"a":[1},"c":3}"#, r#"{"b":2},"c":3}"#, r#"{"a":[1"#),
        (r#"{"b":2,"a":1"#, r#"{"b":2"#, r#"{"a":1"#),
        (r#"{"b":2,"a"#, r#"{"b":2,"a"#, "{"),
        (r#"{"b":2,"a":"#, r#"{"b":2"#, r#"{"#),
        (r#"{"b":2,}"#, r#"{"b":2,}"#, "{"),
        ("\u{feff}{\"a\":1}", "\u{feff}{\"a\":1}", ""),
    ] {
        for (policy, expected) in [(without_candidates(&dropping(&["a"])), drop), (keeping(&["a"]), keep)] {
            for step in 1..=text.len() {
                let cuts: Vec<_> = (step..text.len()).step_by(step).chain([text.len()]).collect();
                let (out, malformed) = run(&policy, OnMalformed::Pass, Backend::best(), text.as_bytes(), &cuts, true);
                assert!(malformed.is_some(), "{text}");
                // `"a":` at the end: to keep it is decided when the colon is there.
                let expected = if expected == "{" && text.ends_with(':') { r#"{"a":"# } else { expected };
                assert_eq!(String::from_utf8(out).expect("text"), expected, "{text} in steps of {step}");
                let (_, malformed) = run(&policy, OnMalformed::Abort, Backend::best(), text.as_bytes(), &cuts, true);
                assert!(malformed.is_some());
            }
        }
    }
}

#[test]
fn a_failed_body_stays_failed() {
    let mut trimmer = Trimmer::new(keeping(&["a"]), OnMalformed::Abort);
    let mut body = Some(Bytes::from_static(b"{\"a\":1]"));
    let malformed = trimmer.push(&mut body, false).expect_err("a defect");
    assert_eq!((malformed.at, body), (6, None));

    let mut body = Some(Bytes::from_static(b"{\"a\":1}"));
    assert!(trimmer.push(&mut body, true).is_err());
    assert_eq!(body, None);
    assert!(trimmer.was_malformed());
}

#[test]
fn a_stray_backslash_does_not_make_a_byte_go_out_twice() {
    let text = b"{\"id\"\\\"\"";
    for first in 0..text.len() {
        for second in first..text.len() {
            let cuts = [first, second, text.len()];
            let (out, malformed) = run(&dropping(&["x.y"]), OnMalformed::Pass, Backend::best(), text, &cuts, true);
            assert_eq!((&out[..], malformed.is_some()), (&text[..], true), "cut {cuts:?}");
        }
    }
}
