//! What requests give for arguments: digits that are kept, values that do not fit, and input objects of which one member is given.

use serde_json::{Value, json};

use super::super::{Graph, Kind, Refused, Request, schema as parsed};
use super::table::{Table, ask, graph, json_of, ok, run};

const SCHEMA: &str = r#"
scalar Big
enum Size { SMALL BIG }
type Query { take(id: ID, big: Big, float: Float, int: Int, size: Size, deep: Deep, list: [[Int]], one: One, ones: [One!]): Int }
input Deep { big: Big, int: Int = 7, need: Int! = 1, deep: Deep }
input One @oneOf { int: Int, text: String, deep: Deep, one: One }
"#;

fn taking() -> Graph {
    let call = json!({"upstream": "u", "post": "/take/{args.id}", "body": "{args}"});
    let path = json!({"upstream": "u", "get": "/take"});
    // What is not given has no place in a path.
    let schema = SCHEMA.replace("type Query {", "type Query { plain: Int ").replace("take(id: ID,", "take(id: ID = 0,");
    graph(&schema, json!({"fields": {"Query.take": call, "Query.plain": path}}))
}

/// What is sent for these arguments: the target, and the body as it is written; or what is wrong with them.
async fn sent(document: &str, variables: &str) -> Result<(String, String), (Refused, Value)> {
    let table = Table::new(|_| ok("1"));
    let outcome = run(&taking(), Request { variables: Some(variables.as_bytes()), ..ask(document) }, &table).await;
    match outcome.kind {
        Kind::Refused(why) => {
            assert!(table.lines().is_empty(), "{document} {variables}");
            Err((why, json_of(&outcome)))
        }
        Kind::Data => {
            assert_eq!(outcome.errors, 0, "{document} {variables}: {}", json_of(&outcome));
            let made = table.made();
            let body = made[0].body.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
            Ok((made[0].line.clone(), body))
        }
    }
}

const LONG: &str = "123456789012345678901234567890";

#[tokio::test]
async fn numbers_keep_all_their_digits() {
    let expected = format!(
        r#"{{"id":{LONG},"big":{{"a":[-{LONG},1.10,3.141592653589793238462643]}},"float":0.1234567890123456789012,"deep":{{"big":18446744073709551616,"int":7,"need":1}}}}"#
    );
    let line = format!("POST u /take/{LONG}");

    let declared = "query($id: ID, $big: Big, $float: Float, $deep: Deep)";
    let document = format!("{declared} {{ take(id: $id, big: $big, float: $float, deep: $deep) }}");
    let variables = format!(
        r#"{{"id": {LONG}, "big": {{"a": [-{LONG}, 1.10, 3.141592653589793238462643]}}, "float": 0.1234567890123456789012, "deep": {{"big": 18446744073709551616}}}}"#
    );
    assert_eq!(sent(&document, &variables).await, Ok((line.clone(), expected.clone())));

    let document = format!(
        "{{ take(id: {LONG}, big: {{a: [-{LONG}, 1.10, 3.141592653589793238462643]}}, float: 0.1234567890123456789012, deep: {{big: 18446744073709551616}}) }}"
    );
    assert_eq!(sent(&document, "{}").await, Ok((line.clone(), expected.clone())));

    let document = format!(
        "query($id: ID = {LONG}, $big: Big) {{ take(id: $id, big: {{a: [$big, 1.10, 3.141592653589793238462643]}}, float: 0.1234567890123456789012, deep: {{big: 18446744073709551616}}) }}"
    );
    assert_eq!(sent(&document, &format!("{{\"big\": -{LONG}}}")).await, Ok((line, expected)));
}

#[tokio::test]
async fn what_a_variable_says_is_what_its_type_has_or_nothing_is_executed() {
    for (of_type, argument, value, became) in [
        ("Int", "int", "2147483647", "2147483647"),
        ("Int", "int", "-2147483648", "-2147483648"),
        ("Int", "int", "3.0", "3"),
        ("Int", "int", "null", "null"),
        ("Float", "float", "3", "3"),
        ("Float", "float", "9007199254740993", "9007199254740993"),
        ("ID", "id", "\"a\"", "\"a\""),
        ("ID", "id", "18446744073709551615", "18446744073709551615"),
        ("Size", "size", "\"BIG\"", "\"BIG\""),
        ("Big", "big", "1e999", "1e999"),
        ("[[Int]]", "list", "1", "[[1]]"),
        ("[[Int]]", "list", "[1, [2], null]", "[[1],[2],null]"),
        ("Deep", "deep", r#"{"deep": {"int": null, "need": 2}}"#, r#"{"int":7,"need":1,"deep":{"int":null,"need":2}}"#),
    ] {
        let document = format!("query($v: {of_type}) {{ take({argument}: $v) }}");
        let (_, body) = sent(&document, &format!("{{\"v\": {value}}}")).await.expect(value);
        let member = format!("\"{argument}\":{became}");
        assert!(body.contains(&member), "{of_type} {value}: {body}");
    }
    let words = "x".repeat(10_000);
    for (of_type, argument, value, said) in [
        ("Int", "int", "2147483648", "Variable `$v`: `2147483648` is no value of type Int."),
        ("Int", "int", "-2147483649", "`-2147483649` is no value"),
        ("Int", "int", LONG, "no value of type Int"),
        ("Int", "int", "1e10", "no value of type Int"),
        ("Int", "int", "1.5", "no value of type Int"),
        ("Int", "int", "true", "no value of type Int"),
        ("Int!", "int", "null", "it is null, and Int! never is"),
        ("Float", "float", "1e999", "no value of type Float"),
        ("Float", "float", "\"1\"", "no value of type Float"),
        ("ID", "id", "1.5", "no value of type ID"),
        ("ID", "id", "{}", "an object is no value of type ID"),
        ("Size", "size", "\"MIDDLE\"", "no value of type Size"),
        ("Size", "size", "0", "no value of type Size"),
        ("[[Int]]", "list", "[[1], [2, \"a\"]]", "Variable `$v.1.1`: "),
        ("Deep", "deep", "5", "`5` is no value of type Deep"),
        ("Deep", "deep", r#"{"deep": {"need": null}}"#, "Variable `$v.deep.need`: it is null, and Int! never is."),
        ("Deep", "deep", r#"{"nede": 1}"#, "Deep has no member `nede`"),
        ("Deep", "deep", r#"{"deep": {"int": 3000000000}}"#, "Variable `$v.deep.int`: `3000000000`"),
        ("Size", "size", &format!("\"{words}\""), "…` is no value of type Size"),
        ("Deep", "deep", &format!("{{\"{words}\": 1}}"), "…`"),
    ] {
        let document = format!("query($v: {of_type}) {{ take({argument}: $v) }}");
        let (why, answer) = sent(&document, &format!("{{\"v\": {value}}}")).await.expect_err(value);
        let message = answer["errors"][0]["message"].as_str().unwrap_or_default();
        assert!(why == Refused::Variables && message.contains(said) && message.len() < 300, "{of_type} {value}: {message}");
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
        assert_eq!(answer["errors"][0]["locations"][0]["line"], 1, "{answer}");
    }
    assert_eq!(sent("{ take(int: 2147483648) }", "{}").await.expect_err("too large").0, Refused::Validation);
}

#[tokio::test]
async fn of_an_input_object_that_is_one_of_its_members_exactly_one_is_given() {
    for (document, variables, became) in [
        ("{ take(one: {int: 5}) }", "{}", r#""one":{"int":5}"#),
        ("{ take(one: {one: {text: \"a\"}}) }", "{}", r#""one":{"one":{"text":"a"}}"#),
        ("query($i: Int!) { take(one: {int: $i}) }", r#"{"i": 5}"#, r#""one":{"int":5}"#),
        ("query($o: One) { take(one: $o) }", r#"{"o": {"deep": {}}}"#, r#""one":{"deep":{"int":7,"need":1}}"#),
        ("query($o: [One!]) { take(ones: $o) }", r#"{"o": {"text": ""}}"#, r#""ones":[{"text":""}]"#),
        ("query($o: One = {int: 1}) { take(one: $o) }", "{}", r#""one":{"int":1}"#),
    ] {
        let (_, body) = sent(document, variables).await.expect(document);
        assert!(body.contains(became), "{document}: {body}");
    }
    for (document, variables, why, said) in [
        ("{ take(one: {}) }", "{}", Refused::Validation, "exactly one member, which is not null: here are 0."),
        ("{ take(one: {int: 5, text: \"a\"}) }", "{}", Refused::Validation, "here are 2."),
        ("{ take(one: {int: null}) }", "{}", Refused::Validation, "`int` is null."),
        ("{ take(ones: [{int: 1}, {}]) }", "{}", Refused::Validation, "here are 0."),
        ("{ ...F } fragment F on Query { take(one: {one: {}}) }", "{}", Refused::Validation, "here are 0."),
        ("query($i: Int) { take(one: {int: $i}) }", r#"{"i": 5}"#, Refused::Validation, "`$i` may be null."),
        ("query($o: One = {}) { take(one: $o) }", "{}", Refused::Validation, "here are 0."),
        ("query($o: One) { take(one: $o) }", r#"{"o": {}}"#, Refused::Variables, "Variable `$o`: One has exactly one member"),
        ("query($o: One) { take(one: $o) }", r#"{"o": {"int": null}}"#, Refused::Variables, "exactly one member"),
        ("query($o: One) { take(one: $o) }", r#"{"o": {"int": 1, "text": null}}"#, Refused::Variables, "exactly one member"),
        ("query($o: One) { take(one: $o) }", r#"{"o": {"one": {}}}"#, Refused::Variables, "Variable `$o.one`: "),
    ] {
        let (refused, answer) = sent(document, variables).await.expect_err(document);
        let message = answer["errors"][0]["message"].as_str().unwrap_or_default();
        assert!(refused == why && message.contains(said), "{document} {variables}: {answer}");
    }
}

#[tokio::test]
async fn the_schema_tells_which_input_objects_are_one_of_their_members() {
    let table = Table::new(|_| ok("1"));
    let document =
        "{ one: __type(name: \"One\") { name isOneOf kind } deep: __type(name: \"Deep\") { ...F } q: __type(name: \"Query\") { is: isOneOf
        fields { args { type { isOneOf ofType { one: isOneOf } } } } } plain } fragment F on __Type { isOneOf x: isOneOf }";

    let outcome = run(&taking(), ask(document), &table).await;

    let answer = json_of(&outcome);
    assert_eq!(answer["data"]["one"].to_string(), r#"{"name":"One","isOneOf":true,"kind":"INPUT_OBJECT"}"#, "{answer}");
    assert_eq!(answer["data"]["deep"], json!({"isOneOf": false, "x": false}));
    assert_eq!((&answer["data"]["q"]["is"], &answer["data"]["plain"]), (&Value::Null, &json!(1)));
    let text = answer["data"]["q"]["fields"].to_string();
    assert!(text.contains(r#"{"isOneOf":true,"ofType":null}"#) && text.contains(r#"{"isOneOf":null,"ofType":{"one":null}}"#), "{text}");
    assert!(answer.get("errors").is_none() && !answer.to_string().contains("isOneOf:"), "{answer}");
}

#[test]
fn schemas_of_which_no_value_can_be_made_are_refused() {
    for (sdl, said) in [
        ("input A @oneOf { a: Int! }", "`A.a` must be nullable: of a `@oneOf` type one member is given"),
        ("input A @oneOf { a: Int = 1 }", "`A.a` cannot have a default"),
        ("input A { a: Int } extend input A @oneOf { b: Int! }", "`A.b` must be nullable"),
        ("input A { a: A = {} }", "the default of `A.a` needs itself"),
        ("input A { b: B = {} } input B { a: [A] = [{}] }", "needs itself"),
    ] {
        let problems = parsed(&format!("type Query {{ q(a: A): Int }} {sdl}"), false).expect_err(sdl);
        assert!(problems.len() == 1 && problems[0].message.contains(said), "{sdl}: {problems:?}");
    }
    for sdl in [
        "input A { a: A = {a: null} }",
        "input A { a: A b: B = {a: {b: null}} } input B { a: A = {} }",
        "input A @oneOf { a: Int b: A }",
        "directive @oneOf on INPUT_OBJECT input A @oneOf { a: Int }",
    ] {
        assert!(parsed(&format!("type Query {{ q(a: A): Int }} {sdl}"), false).is_ok(), "{sdl}");
    }
}
