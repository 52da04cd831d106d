//! What answers of GraphQL services have for data, and what documents are refused.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{NoData, data};
use crate::compose::{Answered, Headers};

fn answered(kind: Option<&'static str>, chunks: &[&[u8]]) -> Answered {
    let mut headers = HeaderMap::new();
    headers.extend(kind.map(|kind| (CONTENT_TYPE, HeaderValue::from_static(kind))));
    let body = chunks.iter().map(|chunk| Bytes::copy_from_slice(chunk)).collect();
    Answered { status: StatusCode::OK, headers: Headers::from(headers), body, ..Answered::default() }
}

fn told(kind: Option<&'static str>, body: &str) -> Result<String, NoData> {
    data(&answered(kind, &[body.as_bytes()])).map(|data| String::from_utf8(data.into_bytes().to_vec()).expect("text"))
}

const JSON: Option<&str> = Some("application/json");

#[test]
fn the_data_is_what_stands_there_byte_by_byte() {
    for (body, found) in [
        (r#"{"data":{"a":1.0}}"#, r#"{"a":1.0}"#),
        ("  {\"extensions\": {\"data\": 1}, \"data\" : { \"a\" : \"\\u00e9\" } }\n", r#"{ "a" : "\u00e9" }"#),
        (r#"{"data":{},"errors":[]}"#, "{}"),
        (r#"{"errors":null,"data":{"errors":[1]}}"#, r#"{"errors":[1]}"#),
        (r#"{"d\u0061ta":{"a":1}}"#, r#"{"a":1}"#),
    ] {
        assert_eq!(told(JSON, body).as_deref(), Ok(found), "{body}");
        let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        let one_by_one = data(&answered(JSON, &bytes)).expect("data").into_bytes();
        assert_eq!(one_by_one, found.as_bytes(), "{body} byte by byte");
    }
}

#[test]
fn errors_go_before_data_and_what_is_no_answer_of_a_service_is_none() {
    for (body, why) in [
        (r#"{"data":{"a":1},"errors":[{"message":"no"}]}"#, NoData::Errors(1)),
        (r#"{"errors":[{"message":"no"},{"message":"nor"}],"data":null}"#, NoData::Errors(2)),
        (r#"{"errors":[1]}"#, NoData::Errors(1)),
        (r#"{"data":{},"errors":[],"errors":[{}]}"#, NoData::Errors(1)),
        (r#"{"data":{},"\u0065rrors":[{}]}"#, NoData::Errors(1)),
        (r#"{"data":{},"errors":"many"}"#, NoData::Malformed),
        (r#"{"data":{},"errors":{"message":"no"}}"#, NoData::Malformed),
        (r#"{"data":{},"errors":false}"#, NoData::Malformed),
        (r#"{"data":null}"#, NoData::Malformed),
        (r#"{"data":[{}]}"#, NoData::Malformed),
        (r#"{"data":"x"}"#, NoData::Malformed),
        (r#"{"data":{"a":1},"data":{"a":2}}"#, NoData::Malformed),
        (r#"{"a":1}"#, NoData::Malformed),
        (r#"[{"data":{"a":1}}]"#, NoData::Malformed),
        (r#""data""#, NoData::Malformed),
        ("null", NoData::Malformed),
        ("", NoData::Malformed),
        (r#"{"data":{"a":1}"#, NoData::Malformed),
        (r#"{"data":{"a":1}}{"data":{}}"#, NoData::Malformed),
        (r#"{"data":{"a":01}}"#, NoData::Malformed),
        ("<html></html>", NoData::Malformed),
    ] {
        assert_eq!(told(JSON, body), Err(why), "{body}");
    }
    let deep = format!(r#"{{"data":{{"a":{}{}}}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(told(JSON, &deep), Err(NoData::Malformed));
}

#[test]
fn an_answer_of_another_type_is_none_whatever_it_says() {
    let body = r#"{"data":{}}"#;
    for kind in
        [None, JSON, Some("Application/JSON; charset=utf-8"), Some("application/graphql-response+json"), Some("application/problem+json")]
    {
        assert_eq!(told(kind, body).as_deref(), Ok("{}"), "{kind:?}");
    }
    for kind in ["text/html", "text/plain", "", "application/xml", "application/jsonp", "text/json"] {
        assert_eq!(told(Some(kind), body), Err(NoData::Malformed), "{kind}");
    }
}

#[cfg(feature = "graphql")]
mod documents {
    use crate::compose::service::document::Document;
    use crate::compose::template::Scalar;

    /// What is wrong with a document: the text that is meant, and the words.
    fn wrong(text: &str) -> Vec<(String, String)> {
        let faults = Document::read(text).expect_err(text);
        faults.into_iter().map(|fault| (text.get(fault.at).unwrap_or_default().to_owned(), fault.message)).collect()
    }

    #[test]
    fn a_document_has_one_operation_whose_variables_are_known() {
        let text = "query Home($id: ID!, $first: Int = 10, $ids: [ID!]!, $deep: Boolean, $price: Float!, $by: Order) {
            user(id: $id, of: [{x: $ids}]) @include(if: $deep) { ...F orders(first: $first, by: $by) { id } } }
            fragment F on User { price(of: $price) }";

        let read = Document::read(text).expect("a document");

        assert_eq!((read.operation.as_str(), read.changes), ("query Home", false));
        let told: Vec<_> = read
            .variables
            .iter()
            .map(|variable| (variable.name.as_str(), variable.written.as_str(), variable.is_required, variable.is_list, variable.scalar))
            .collect();
        assert_eq!(
            told,
            [
                ("id", "ID!", true, false, Scalar::Any),
                ("first", "Int", false, false, Scalar::Int),
                ("ids", "[ID!]!", true, true, Scalar::Any),
                ("deep", "Boolean", false, false, Scalar::Boolean),
                ("price", "Float!", true, false, Scalar::Float),
                ("by", "Order", false, false, Scalar::Any),
            ]
        );
        let mutation = Document::read("mutation { rate(stars: 2) { stars } }").expect("a document");
        assert_eq!((mutation.operation.as_str(), mutation.changes), ("mutation", true));
        assert_eq!(Document::read("{ a }").map(|read| read.operation), Ok("query".to_owned()));
    }

    #[test]
    fn what_a_service_would_refuse_is_told_with_its_place() {
        for (text, at, words) in [
            ("subscription S { a }", "subscription", "many answers"),
            ("query A { a } query B { b }", "query B { b }", "another one"),
            ("{ user(id: $id) { name } }", "$id", "declares no variable `$id`"),
            ("{ ...F } fragment F on Query { a(x: [{y: $z}]) }", "$z", "declares no variable `$z`"),
            ("query ($id: ID!) { user { name } }", "$id", "unused variable: `$id`"),
            ("{ ...F }", "...F", "`F`"),
            ("{ a } fragment F on A { a }", "fragment F on A { a }", "`F`"),
            ("type A { b: Int }", "type A { b: Int }", "type"),
        ] {
            let found = wrong(text);
            assert!(found.iter().any(|(part, message)| part == at && message.contains(words)), "{text}: {found:?}");
        }
        assert!(!wrong("{ user(id: ) }").is_empty());
        assert!(wrong("fragment F on A { a }").iter().any(|(_, message)| message.contains("no operation")));
        assert!(!wrong("").is_empty());
    }

    #[test]
    fn hostile_documents_are_refused_and_do_no_harm() {
        for text in [
            "{a".repeat(100_000),
            format!("{{a(x: {})}}", "[".repeat(100_000)),
            format!("{{ {} }}", "a ".repeat(100_000)),
            "{ ...A } fragment A on X { ...B } fragment B on X { ...A }".to_owned(),
        ] {
            assert!(Document::read(&text).is_err(), "{}", &text[..20]);
        }
    }
}
