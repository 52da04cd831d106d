use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::json::{Change, Mark, Plan, Policy, Reader};

fn proved(text: &[u8]) -> Option<Proved> {
    let mut reader = Reader::new(Arc::default());
    reader.push(Bytes::copy_from_slice(text)).ok()?;
    Some(reader.finish().ok()?.whole())
}

fn template(value: &Value) -> Template {
    Template::new(value, &|text| text.strip_prefix('$').and_then(|number| number.parse().ok()))
}

fn filled(value: Value, fillings: &[Option<&str>]) -> String {
    let fillings: Vec<_> = fillings.iter().map(|text| text.map(|text| proved(text.as_bytes()).expect("a value"))).collect();
    let filled = template(&value).fill(&fillings);
    let length = filled.len();
    let bytes = filled.into_bytes();
    assert_eq!(bytes.len(), length);
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn holes_are_filled_with_values_as_they_came() {
    let page = json!({"code": 0, "a": "$0", "list": ["$1", 1, "$0"], "deep": {"x": {"y": "$1"}, "z": [[]]}, "text": "a $0"});
    assert_eq!(
        filled(page, &[Some(" 1.0 "), Some(r#"{"a" : "\u00e9"}"#)]),
        r#"{"code":0,"a":1.0,"list":[{"a" : "\u00e9"},1,1.0],"deep":{"x":{"y":{"a" : "\u00e9"}},"z":[[]]},"text":"a $0"}"#
    );
}

#[test]
fn where_there_is_nothing_a_member_is_left_out_and_an_element_is_null() {
    assert_eq!(filled(json!({"a": "$0", "b": "$1", "c": "$2"}), &[None, Some("1"), None]), r#"{"b":1}"#);
    assert_eq!(filled(json!({"a": "$0", "b": {"c": "$0"}}), &[None]), r#"{"b":{}}"#);
    assert_eq!(filled(json!(["$0", "$7"]), &[None]), "[null,null]");
    assert_eq!(filled(json!("$0"), &[None]), "null");
    assert_eq!(filled(json!("$0"), &[Some("[]")]), "[]");
    assert_eq!(filled(json!({"x": 1}), &[]), r#"{"x":1}"#);
}

#[test]
fn names_of_members_are_escaped() {
    assert_eq!(filled(json!({"a\"b\n": "$0"}), &[Some("1")]), r#"{"a\"b\n":1}"#);
}

#[test]
fn a_buffer_is_exactly_as_long_as_what_is_in_it() {
    let mut gather = Gather::new();
    assert!(gather.is_empty() && gather.clone().into_bytes().is_empty());
    gather.push(Bytes::from_static(b"ab"));
    gather.push(Bytes::new());
    assert_eq!(gather.clone().into_bytes().as_ptr(), gather.slices()[0].as_ptr(), "one slice is not copied");
    gather.append(Proved::from(&json!([1])).into_gather());
    assert_eq!((gather.len(), gather.slices().len()), (5, 2));
    assert_eq!(gather.into_bytes(), "ab[1]");
}

#[test]
fn what_is_spread_is_put_between_the_others() {
    let template = Template::from(Piece::object(vec![
        Member::Spread(0),
        Member::Named(MemberName::new("a"), Piece::constant(&json!(1))),
        Member::Named(
            MemberName::new("list"),
            Piece::array(vec![Item::Spread(1), Item::One(Piece::hole(2)), Item::Spread(1), Item::One(Piece::constant(&json!("x")))]),
        ),
        Member::Spread(2),
    ]));
    let filled = |texts: [&str; 3]| {
        let fillings = texts.map(|text| proved(text.as_bytes()));
        let bytes = template.fill(&fillings).into_bytes();
        String::from_utf8(bytes.to_vec()).expect("text")
    };

    assert_eq!(filled([r#"{ "b" : 2 }"#, "[ 1, [2] ]", "3"]), r#"{"b" : 2,"a":1,"list":[1, [2],3,1, [2],"x"]}"#);
    assert_eq!(filled(["{ }", "[\n]", r#"{"c":3}"#]), r#"{"a":1,"list":[{"c":3},"x"],"c":3}"#);
    assert_eq!(filled(["[1]", r#"{"b":2}"#, "\"{}\""]), r#"{"a":1,"list":["{}","x"]}"#, "what is of another kind has nothing to spread");
    assert_eq!(filled(["", "", ""]), r#"{"a":1,"list":[null,"x"]}"#);
}

#[test]
fn what_is_within_is_found_in_every_cut() {
    let text = b" [ \n 1 , 2 \t] ";
    for first in 1..text.len() {
        for second in first..text.len() {
            let mut reader = Reader::new(Arc::default());
            for part in [&text[..first], &text[first..second], &text[second..]] {
                reader.push(Bytes::copy_from_slice(part)).expect("a part");
            }
            let value = reader.finish().expect("a value").whole();
            assert_eq!(value.within().into_bytes(), "1 , 2", "{first} {second}");
            assert_eq!(value.to_bytes(), "[ \n 1 , 2 \t]");
        }
    }
    assert_eq!(proved(b"[ ]").expect("a value").within().len(), 0);
    assert_eq!(Proved::list(&[Proved::null(), Proved::from(&json!({}))]).into_bytes(), "[null,{}]");
    assert_eq!(Proved::list([]).into_bytes(), "[]");
}

#[test]
fn values_in_a_range_give_way_and_objects_get_members() {
    let mark = |number, place: &str, each| Mark { number, place: place.parse().expect("a place"), each };
    let marks = [mark(0, "items", true), mark(1, "items.p", false), mark(2, "items", false), mark(3, "items.p.q", true)];
    let plan = Arc::new(Plan::new(&Policy::drop(&[]).expect("a policy"), &[], &marks).expect("a plan"));
    let mut reader = Reader::new(plan);
    reader.push(Bytes::from_static(br#"{"x":1,"items":[{"p":{"q":{}},"n":1},{ },3,{"n":2}],"y":2}"#)).expect("a text");
    let document = reader.finish().expect("a value");
    let of = |number| document.marked(number).copied().collect::<Vec<_>>();
    let (name, other) = (MemberName::new("new"), MemberName::new("z"));
    let value = |text: &str| Proved::from(&json!(text));
    let mut changes: Vec<Change<'_>> = of(0).into_iter().map(|found| Change::Add(found, &name, Cow::Owned(value("n")))).collect();
    changes.push(Change::Add(of(0)[1], &other, Cow::Owned(value("z"))));
    changes.push(Change::Replace(of(1)[0], Cow::Owned(value("r"))));
    changes.push(Change::Add(of(3)[0], &name, Cow::Owned(value("is in what is replaced"))));

    let list = document.changed(of(2)[0].range(), &mut changes.clone()).into_bytes();
    let whole = document.changed(document.range(), &mut changes.clone()).into_bytes();
    let one = document.changed(of(1)[0].range(), &mut changes[4..].to_vec()).into_bytes();
    let inner = document.changed(of(1)[0].range(), &mut changes[6..].to_vec()).into_bytes();

    let expected = r#"[{"p":"r","n":1,"new":"n"},{ "new":"n","z":"z"},3,{"n":2,"new":"n"}]"#;
    assert_eq!(list, expected);
    assert_eq!(whole, format!(r#"{{"x":1,"items":{expected},"y":2}}"#));
    assert_eq!(one, r#""r""#);
    assert_eq!(inner, r#"{"q":{"new":"is in what is replaced"}}"#);
}

/// Bytes that a hostile service may answer: anything, things made of the grammar, and things that try to break out of their place.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let grammar = prop::sample::select(b"{}[]\":,\\ \n0123.eE+-truefalsn\xc3\xa9\x00\xffu".to_vec());
    let pieces = prop::sample::select(vec![
        "1",
        "\"x\"",
        "{}",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "\"admin\"",
        "true",
        " ",
        "{\"a\":1}",
        "1,\"admin\":true",
        "1}",
        "\"x\",\"admin\":\"y",
        "\\",
        "\"",
        "null",
        "[1]",
        "\\u0022",
        "/*",
        "{\"admin\":1",
    ]);
    prop_oneof![vec(any::<u8>(), 0..40), vec(grammar, 0..40), vec(pieces, 0..8).prop_map(|pieces| pieces.concat().into_bytes())]
}

fn many() -> u32 {
    if std::env::var_os("FRONTGATE_LONG").is_some() { 1_000_000 } else { 4_000 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: many(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_is_refused_or_has_no_say_outside_of_its_place(one in answers(), other in answers()) {
        let fillings = [proved(&one), proved(&other)];
        let page = json!({"first": "$0", "list": ["$1", "$0"], "in": {"second": "$1"}, "end": 1});
        let body = template(&page).fill(&fillings).into_bytes();
        // What serde_json cannot hold in a tree (half a surrogate pair, a number too large) is not a matter of places.
        prop_assert!(serde_json::from_slice::<&serde_json::value::RawValue>(&body).is_ok(), "{}", body.escape_ascii());
        let Ok(members) = serde_json::from_slice::<indexed::Members>(&body) else { return Err(TestCaseError::fail("no object")) };
        let mut expected = vec!["first", "list", "in", "end"];
        if fillings[0].is_none() {
            expected.remove(0);
        }
        prop_assert_eq!(members.names(), expected);
        let raw = |text: &[u8]| String::from_utf8(text.trim_ascii().to_vec()).expect("it was taken");
        if fillings[0].is_some() {
            prop_assert_eq!(members.get("first"), raw(&one));
        }
        let inner: indexed::Members = serde_json::from_str(members.get("in")).expect("an object");
        match fillings[1] {
            Some(_) => prop_assert_eq!(inner.get("second"), raw(&other)),
            None => prop_assert!(inner.names().is_empty()),
        }
        let list: Vec<&serde_json::value::RawValue> = serde_json::from_str(members.get("list")).expect("a list");
        prop_assert_eq!(list.len(), 2);
    }

    #[test]
    fn what_is_put_into_a_hostile_answer_is_its_last_member_and_nothing_else_changes(answer in answers()) {
        let marks = [Mark { number: 0, place: crate::json::Place::WHOLE, each: true }];
        let policy = Policy::drop(&["product".parse().expect("a path")]).expect("a policy");
        let plan = Arc::new(Plan::new(&policy, &[], &marks).expect("a plan"));
        let mut reader = Reader::new(plan);
        let Ok(document) = reader.push(Bytes::copy_from_slice(&answer)).and_then(|()| reader.finish()) else { return Ok(()) };
        let name = MemberName::new("product");

        let body = document.with_members(document.found().iter().map(|found| (found, &name, Proved::from(&json!(1))))).into_bytes();

        prop_assert!(serde_json::from_slice::<&serde_json::value::RawValue>(&body).is_ok(), "{}", body.escape_ascii());
        if let Ok(members) = serde_json::from_slice::<indexed::Members>(&body) {
            let names = members.names();
            prop_assert_eq!(names.iter().filter(|name| **name == "product").count(), 1);
            prop_assert_eq!(names.last().copied(), Some("product"));
        }
    }
}

/// An object with all its members, also those of one name, and their values as they are written.
mod indexed {
    use std::fmt;

    use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
    use serde_json::value::RawValue;

    pub struct Members<'a>(Vec<(String, &'a RawValue)>);

    impl Members<'_> {
        pub fn names(&self) -> Vec<&str> {
            self.0.iter().map(|(name, _)| name.as_str()).collect()
        }

        pub fn get(&self, name: &str) -> &str {
            self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.get()).expect("a member")
        }
    }

    impl<'de> Deserialize<'de> for Members<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct All;
            impl<'de> Visitor<'de> for All {
                type Value = Vec<(String, &'de RawValue)>;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                    let mut all = Vec::new();
                    // A name may be half a surrogate pair, which is no text: it is none of those that are asked for.
                    while let Some(name) = members.next_key::<&RawValue>()? {
                        let text = serde_json::from_str(name.get()).unwrap_or_else(|_| name.get().to_owned());
                        all.push((text, members.next_value().map_err(A::Error::custom)?));
                    }
                    Ok(all)
                }
            }
            deserializer.deserialize_map(All).map(Self)
        }
    }
}
