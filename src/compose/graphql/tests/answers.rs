//! What clients get: order, digits, nulls, errors.

use serde_json::{Value, json};

use super::super::{Kind, Refused};
use super::table::{Said, Table, ask, graph, header, json_of, ok, paths_of, run, status, text_of};
use crate::compose::Failed;

const SHOP: &str = "
type Query {
  user(id: ID!): User
  users(ids: [ID!]!): [User]!
  must(id: ID!): User!
  any: [Being]
  made: Made!
  grid: [[Int!]]
  plain: String
}
type Mutation { set(x: Int!): User, also(x: Int): User }
interface Being { id: ID!, friend: User }
type User implements Being { id: ID!, name: String, friend: User, friends: [User!], size: Size, tags: [String!]!, score: Float, city: String, cities: [String], self: User }
type Dog implements Being { id: ID!, friend: User, barks: Boolean }
type Made { at: String, by(deep: Deep): User }
input Deep { a: [Int!] = [7], b: Size = BIG, c: Boolean }
enum Size { BIG SMALL }
";

fn fields() -> Value {
    json!({
        "Query.user": {"upstream": "u", "get": "/user/{args.id}"},
        "Query.users": {"upstream": "u", "get": "/user/{each}", "each": "args.ids"},
        "Query.must": {"upstream": "u", "get": "/user/{args.id}"},
        "Query.any": {"upstream": "u", "get": "/any", "at": "all"},
        "Query.made": {"upstream": "u", "get": "/made"},
        "Query.grid": {"upstream": "u", "get": "/grid"},
        "Mutation.set": {"upstream": "u", "post": "/set", "body": {"x": "{args.x}"}},
        "Mutation.also": {"upstream": "u", "put": "/also/{args.x:-0}"},
        "User.friend": {"upstream": "u", "get": "/user/{parent.friend_id}"},
        "User.friends": {"upstream": "u", "get": "/users?ids={each}", "each": "parent.friend_ids", "batch": 2, "by": "id"},
        "User.city": {"from": "address.city"},
        "User.cities": {"from": "homes.city"},
        "User.self": {"upstream": "u", "get": "/user/{parent.id}", "headers": {"x-tenant": "{header.x-tenant}"}},
        "Dog.friend": {"upstream": "u", "get": "/user/{parent.owner}"},
        "Made.by": {"upstream": "u", "post": "/by", "body": {"deep": "{args.deep}", "list": ["{...args.deep.a}"]}},
    })
}

fn shop(mut beside: Value) -> super::super::Graph {
    beside["fields"] = fields();
    graph(SHOP, beside)
}

#[tokio::test]
async fn members_come_in_the_order_of_the_selection_and_values_as_they_were_written() {
    let graph = shop(json!({}));
    let user = r#"{"size":"BIG","score":1.50e0,"name":"\u00e9\"","id":12345678901234567890,"tags":[ "a" , 5 ]}"#;
    let table = Table::of(&[("GET u /user/a%2Fb", ok(user))]);

    let outcome =
        run(&graph, ask(r#"{ z: user(id: "a/b") { __typename tags s: score size n: name name id score } __typename }"#), &table).await;

    let expected = r#"{"data":{"z":{"__typename":"User","tags":["a","5"],"s":1.50e0,"size":"BIG","n":"\u00e9\"","name":"\u00e9\"","id":"12345678901234567890","score":1.50e0},"__typename":"Query"}}"#;
    assert_eq!(text_of(&outcome), expected);
    assert_eq!(header(&outcome, "x-bff-complete"), Some("true"));
    assert_eq!((outcome.errors, outcome.missing.len()), (0, 0));
}

#[tokio::test]
async fn all_parents_of_a_level_share_batches_and_calls_that_are_alike_are_made_once() {
    let graph = shop(json!({}));
    let table = Table::new(|made| match made.line.as_str() {
        "GET u /user/1" => ok(json!({"id": 1, "friend_ids": [3, "3", null, 4, 9], "tags": []})),
        "GET u /user/2" => ok(json!({"id": 2, "friend_ids": [4, 5], "tags": []})),
        "GET u /users?ids=3,3" => ok(json!([{"id": 3}])),
        "GET u /users?ids=4,9" => ok(json!([{"id": "4"}])),
        "GET u /users?ids=5" => ok(json!([{"id": 5}, {"id": 1}])),
        other => panic!("{other}"),
    });

    let document = "{ users(ids: [1, 2, 1]) { id friends { id } } one: user(id: 1) { also: friends { id } } }";
    let outcome = run(&graph, ask(document), &table).await;

    // One friend of the first is null, and no list of friends may have such.
    let answer = json_of(&outcome);
    let second = json!({"id": "2", "friends": [{"id": "4"}, {"id": "5"}]});
    let first = json!({"id": "1", "friends": null});
    assert_eq!(answer["data"], json!({"users": [first, second, first], "one": {"also": null}}));
    let lines = table.lines();
    assert_eq!(lines.len(), 5, "{lines:?}");
    let paths = [r#"["one","also",2]"#, r#"["users",0,"friends",2]"#, r#"["users",2,"friends",2]"#];
    assert_eq!(paths_of(&answer), paths);
}

#[tokio::test]
async fn null_goes_up_to_what_may_be_null_and_each_path_is_told_once() {
    let graph = shop(json!({}));
    let table = Table::of(&[
        ("GET u /user/1", ok(json!({"id": 1, "tags": ["a", null, null]}))),
        ("GET u /user/2", ok(json!({"name": {}, "id": null}))),
        ("GET u /grid", ok(json!([[1, 2], [3, null], null, "x", []]))),
        ("GET u /made", ok(json!([]))),
    ]);

    let document = "{ a: user(id: 1) { id tags } b: user(id: 2) { name id } grid made { at } plain c: user(id: 404) { id } }";
    let outcome = run(&graph, ask(document), &table).await;

    let answer = json_of(&outcome);
    let data = json!({"a": null, "b": null, "grid": [[1, 2], null, null, null, []], "made": {"at": null}, "plain": null, "c": null});
    assert_eq!(answer["data"], data);
    let paths = [r#"["a","tags",1]"#, r#"["b","id"]"#, r#"["b","name"]"#, r#"["grid",1,1]"#, r#"["grid",3]"#];
    assert_eq!(paths_of(&answer), paths);
    let error = answer["errors"].as_array().expect("errors").iter().find(|error| error["path"] == json!(["a", "tags", 1])).expect("it");
    assert_eq!(error["locations"], json!([{"line": 1, "column": 23}]));
    assert_eq!(error["extensions"], json!({"code": "BAD_VALUE"}));

    let outcome = run(&graph, ask("{ plain must(id: 404) { id } }"), &table).await;
    let answer = json_of(&outcome);
    assert_eq!(answer["data"], json!(null));
    assert_eq!(answer["errors"][0]["path"], json!(["must"]));
    assert_eq!(answer["errors"][0]["extensions"], json!({"code": "CALL_REFUSED", "call": "Query.must", "status": 404}));
    assert_eq!((header(&outcome, "x-bff-complete"), header(&outcome, "x-bff-missing")), (Some("false"), Some("Query.must")));
    assert_eq!(header(&outcome, "cache-control"), Some("no-store"));
    assert_eq!(outcome.missing[0].cause, "status 404");
}

#[tokio::test]
async fn calls_that_fail_are_told_by_fixed_words_and_never_by_those_of_a_service() {
    let graph = shop(json!({}));
    for (said, code, extra) in [
        (status(500), "CALL_FAILED", Some(500)),
        (status(302), "CALL_FAILED", Some(302)),
        (Said::Answer(403, Vec::new(), "{\"secret\": 1}".to_owned()), "CALL_REFUSED", Some(403)),
        (Said::Fails(Failed::Timeout), "CALL_TIMEOUT", None),
        (Said::Fails(Failed::Connect), "CALL_FAILED", None),
        (ok("{\"id\": secret}"), "CALL_FAILED", None),
        (ok("{} {}"), "CALL_FAILED", None),
        (ok(""), "CALL_FAILED", None),
    ] {
        let table = Table::of(&[("GET u /user/1", said.clone())]);
        let outcome = run(&graph, ask("{ user(id: 1) { id } }"), &table).await;

        let answer = json_of(&outcome);
        assert_eq!(answer["data"], json!({"user": null}), "{said:?}");
        let error = &answer["errors"][0]["extensions"];
        assert_eq!((&error["code"], &error["call"]), (&json!(code), &json!("Query.user")), "{said:?}");
        assert_eq!(error.get("status"), extra.map(Value::from).as_ref(), "{said:?}");
        assert!(!String::from_utf8_lossy(&outcome.body).contains("secret"), "{said:?}");
        assert_eq!(header(&outcome, "x-bff-missing"), Some("Query.user"));
        assert_eq!(table.counted().len(), 1, "{:?}", table.counted());
    }
}

#[tokio::test]
async fn what_stands_in_for_a_call_is_no_error_and_is_told_as_missing() {
    let mut own = fields();
    own["Query.made"]["otherwise"] = json!({"at": "never"});
    own["Query.must"]["otherwise"] = json!({"id": 0, "tags": []});
    own["User.friends"]["otherwise"] = json!({"id": "?"});
    own["Query.user"]["when"] = json!({"device": "desktop"});
    let graph = graph(SHOP, json!({"fields": own}));
    let table = Table::new(|made| match made.line.as_str() {
        "GET u /made" => status(503),
        "GET u /user/5" => ok(json!({"id": 5, "friend_ids": [1, 2]})),
        "GET u /users?ids=1,2" => status(500),
        _ => status(404),
    });

    let document = "{ made { at } must(id: 1) { id } users(ids: [5, 6]) { friends { id } } user(id: 5) { id } }";
    let outcome = run(&graph, ask(document), &table).await;

    let expected = json!({"data": {
        "made": {"at": "never"}, "must": {"id": "0"},
        "users": [{"friends": [{"id": "?"}, {"id": "?"}]}, null], "user": null,
    }});
    assert_eq!(json_of(&outcome), expected);
    assert_eq!(header(&outcome, "x-bff-missing"), Some("Query.made, Query.must, User.friends"));
    assert!(table.counted().contains(&"Query.user skipped".to_owned()), "{:?}", table.counted());
}

#[tokio::test]
async fn what_changes_something_is_done_one_after_the_other() {
    let graph = shop(json!({}));
    let table = Table::new(|made| match made.line.as_str() {
        "POST u /set" => Said::Answer(201, Vec::new(), json!({"id": 1, "friend_id": 7, "x": 1}).to_string()),
        "PUT u /also/0" | "PUT u /also/5" => ok(json!({"id": 2, "friend_id": 7})),
        "GET u /user/7" => ok(json!({"id": 7, "friend_id": 7})),
        other => panic!("{other}"),
    });

    let document = "mutation M { b: also { friend { id } } a: set(x: 3) { friend { friend { id } } } c: also(x: 5) { id } }";
    let outcome = run(&graph, ask(document), &table).await;

    let friend = json!({"friend": {"id": "7"}});
    assert_eq!(json_of(&outcome), json!({"data": {"b": friend, "a": {"friend": friend}, "c": {"id": "2"}}}));
    // What was read before a change is read anew behind it, and within one it is read once.
    let lines = ["PUT u /also/0", "GET u /user/7", "POST u /set", "GET u /user/7", "PUT u /also/5"];
    assert_eq!(table.lines(), lines);
    assert_eq!(table.made()[2].body.as_deref(), Some(&b"{\"x\":3}"[..]));
    assert_eq!(outcome.name.as_deref(), Some("M"));

    let table = Table::of(&[]);
    let outcome = run(&graph, super::super::Request { may_mutate: false, ..ask(document) }, &table).await;
    assert_eq!(outcome.kind, Kind::Refused(Refused::Mutation));
    assert_eq!(table.lines().len(), 0);
}

#[tokio::test]
async fn arguments_are_what_documents_variables_and_defaults_say() {
    let graph = shop(json!({}));
    for (argument, variables, body) in [
        ("", "{}", r#"{"list":[]}"#),
        ("(deep: null)", "{}", r#"{"deep":null,"list":[]}"#),
        ("(deep: {})", "{}", r#"{"deep":{"a":[7],"b":"BIG"},"list":[7]}"#),
        ("(deep: {a: 3, c: true, b: SMALL})", "{}", r#"{"deep":{"a":[3],"b":"SMALL","c":true},"list":[3]}"#),
        ("(deep: {a: [$n, 4], c: $c})", r#"{"n": 9}"#, r#"{"deep":{"a":[9,4],"b":"BIG"},"list":[9,4]}"#),
        ("(deep: {a: [$n], c: $c})", r#"{"n": 9, "c": false}"#, r#"{"deep":{"a":[9],"b":"BIG","c":false},"list":[9]}"#),
        ("(deep: $d)", r#"{"d": {"a": 5}}"#, r#"{"deep":{"a":[5],"b":"BIG"},"list":[5]}"#),
        ("(deep: $d)", "null", r#"{"list":[]}"#),
    ] {
        let declared = [("$n", "$n: Int! = 1"), ("$c", "$c: Boolean"), ("$d", "$d: Deep")];
        let declared: Vec<&str> = declared.iter().filter(|(name, _)| argument.contains(name)).map(|(_, text)| *text).collect();
        let head = if declared.is_empty() { String::new() } else { format!("query Q({})", declared.join(", ")) };
        let document = format!("{head} {{ made {{ by{argument} {{ id }} }} }}");
        let table = Table::new(|made| if made.line == "POST u /by" { ok(json!({"id": 1})) } else { ok("{}") });

        let request = super::super::Request { variables: Some(variables.as_bytes()), ..ask(&document) };
        let outcome = run(&graph, request, &table).await;

        assert_eq!(outcome.errors, 0, "{document}: {}", text_of(&outcome));
        let made = table.made();
        let sent: Value = serde_json::from_slice(made[1].body.as_deref().expect("a body")).expect("JSON");
        assert_eq!(sent, serde_json::from_str::<Value>(body).expect("JSON"), "{document} {variables}");
    }
}

#[tokio::test]
async fn objects_of_interfaces_are_what_they_say_and_their_members_come_from_where_they_are() {
    let graph = shop(json!({}));
    let table = Table::new(|made| match made.line.as_str() {
        "GET u /any" => ok(json!({"all": [
            {"__typename": "User", "id": 1, "address": {"city": "Rome"}, "homes": [{"city": "A"}, {}, {"city": "B"}], "friend_id": 8},
            {"__typename": "Dog", "id": 2, "owner": 8, "barks": true},
            {"__typename": "Cat", "id": 3},
            null,
        ]})),
        "GET u /user/8" => ok(json!({"id": 8})),
        "GET u /user/1" => ok(json!({"id": 100})),
        other => panic!("{other}"),
    });

    let document = "query Q($yes: Boolean!) {
        any { ...B ... on Dog { barks } ... on User @skip(if: $yes) { name } ...U @include(if: $yes) ... @skip(if: true) { id } }
      }
      fragment B on Being { kind: __typename friend { id } }
      fragment U on User { city cities self { id } id @skip(if: $yes) }";
    let request = super::super::Request { variables: Some(br#"{"yes": true}"#), ..ask(document) };
    let outcome = run(&graph, request, &table).await;

    let friend = json!({"id": "8"});
    let expected = json!([
        {"kind": "User", "friend": friend, "city": "Rome", "cities": ["A", "B"], "self": {"id": "100"}},
        {"kind": "Dog", "friend": friend, "barks": true},
        null,
        null,
    ]);
    let answer = json_of(&outcome);
    assert_eq!(answer["data"]["any"], expected);
    assert_eq!(paths_of(&answer), [r#"["any",2]"#]);
    assert_eq!(table.lines().len(), 3);
    let own = table.made().into_iter().find(|made| made.line == "GET u /user/1").expect("a call");
    assert_eq!(own.fields["x-tenant"], "north");
}

#[tokio::test]
async fn hidden_fields_are_null_and_their_calls_are_not_made() {
    let graph = shop(json!({"hide": {"profiles": {"smart_tv": ["User.friend", "Dog.friend", "User.name"]}}}));
    let table = Table::of(&[
        ("GET u /user/1", ok(json!({"id": 1, "name": "Ada", "friend_id": 2, "tags": []}))),
        ("GET u /user/2", ok(json!({"id": 2}))),
    ]);
    let document = "{ user(id: 1) { name friend { id friend { id } } id } }";

    for (profile, expected, calls) in [
        (Some("smart_tv"), json!({"name": null, "friend": null, "id": "1"}), 1),
        (Some("desktop"), json!({"name": "Ada", "friend": {"id": "2", "friend": null}, "id": "1"}), 2),
        (None, json!({"name": "Ada", "friend": {"id": "2", "friend": null}, "id": "1"}), 2),
    ] {
        let before = table.lines().len();
        let outcome = run(&graph, super::super::Request { profile, ..ask(document) }, &table).await;
        assert_eq!(json_of(&outcome)["data"]["user"], expected, "{profile:?}");
        assert_eq!(table.lines().len() - before, calls, "{profile:?}");
    }
}

#[tokio::test]
async fn a_call_whose_value_is_missing_is_not_made() {
    let graph = shop(json!({}));
    let table = Table::of(&[("GET u /user/1", ok(json!({"id": 1, "friend_id": null, "tags": []})))]);

    let outcome = run(&graph, ask("{ user(id: 1) { id friend { id } friends { id } } up: user(id: \"..\") { id } }"), &table).await;

    let answer = json_of(&outcome);
    assert_eq!(answer["data"], json!({"user": {"id": "1", "friend": null, "friends": null}, "up": null}));
    assert_eq!(paths_of(&answer), [r#"["up"]"#, r#"["user","friend"]"#]);
    assert_eq!(table.lines(), ["GET u /user/1"]);
    assert!(table.counted().contains(&"User.friend value_missing".to_owned()), "{:?}", table.counted());
}

#[tokio::test]
async fn limits_hold_while_calls_are_made() {
    let graph = shop(json!({"limits": {"calls": 3, "errors": 2}}));
    let table = Table::new(|_| ok(json!({"id": 1, "tags": []})));
    let outcome = run(&graph, ask("{ users(ids: [1,2,3,4,5,6]) { id } }"), &table).await;
    let answer = json_of(&outcome);
    let one = json!({"id": "1"});
    assert_eq!(answer["data"]["users"], json!([one, one, one, null, null, null]));
    assert_eq!((answer["errors"].as_array().map(Vec::len), outcome.errors), (Some(2), 3));
    assert_eq!(answer["errors"][0]["extensions"]["code"], "LIMIT_EXCEEDED");
    assert_eq!(table.lines().len(), 3);

    let mut own = fields();
    own["Query.users"]["most"] = json!(2);
    let graph = super::table::graph(SHOP, json!({"fields": own}));
    let outcome = run(&graph, ask("{ a: users(ids: [1,2]) { id } b: user(id: 1) { id } }"), &table).await;
    assert_eq!(outcome.errors, 0);
    let outcome = run(&graph, ask("{ users(ids: [1,2,3]) { id } }"), &table).await;
    assert_eq!(json_of(&outcome)["data"], json!(null));
    assert_eq!(outcome.missing[0].cause, "more than 2 values");
}

#[tokio::test]
async fn an_answer_longer_than_allowed_is_none() {
    let graph = shop(json!({"limits": {"cost": 1_000_000}}));
    let user = json!({"id": 1, "name": "x".repeat(900_000), "tags": []}).to_string();
    let table = Table::new(move |_| ok(&user));

    let aliases: String = (0..12).map(|index| format!("a{index}: name ")).collect();
    let outcome = run(&graph, ask(&format!("{{ user(id: 1) {{ {aliases} }} }}")), &table).await;

    let answer = json_of(&outcome);
    assert_eq!(answer["data"], json!(null));
    assert_eq!(answer["errors"][0]["extensions"]["code"], "LIMIT_EXCEEDED");
}

#[tokio::test]
async fn what_an_answer_says_of_being_kept_is_the_strictest_of_its_calls() {
    let graph = shop(json!({}));
    let said = |control: &'static str| Said::Answer(200, vec![("cache-control", control)], json!({"id": 1, "tags": []}).to_string());
    let table = Table::of(&[("GET u /user/1", said("max-age=60")), ("GET u /user/2", said("max-age=5, private"))]);

    let outcome = run(&graph, ask("{ a: user(id: 1) { id } b: user(id: 2) { id } }"), &table).await;
    assert_eq!(header(&outcome, "cache-control"), Some("private, max-age=5"));
    assert_eq!(header(&outcome, "vary"), Some("x-tenant"));
    let outcome = run(&graph, ask("{ a: user(id: 1) { id } b: user(id: 3) { id } }"), &table).await;
    assert_eq!(outcome.errors, 0, "nothing is no error");
}

#[tokio::test]
async fn a_batch_of_which_nothing_says_whose_it_is_has_failed_and_an_empty_one_has_not() {
    let sdl = "type Query { user: User } type User { id: ID!, friends: [User!], posts: [User!], best: User }";
    let graph = graph(
        sdl,
        json!({"fields": {
            "Query.user": {"upstream": "u", "get": "/user"},
            "User.friends": {"upstream": "u", "get": "/friends?ids={each}", "each": "parent.id", "batch": 9, "by": "of", "many": true},
            "User.posts": {"upstream": "u", "get": "/posts?ids={each}", "each": "parent.id", "batch": 9, "at": "data.items", "by": "of", "many": true},
            "User.best": {"upstream": "u", "get": "/best?ids={each}", "each": "parent.id", "batch": 9, "at": "items", "by": "of"},
        }}),
    );
    let none = json!([]);
    for (friends, posts, best, missing, data) in [
        // Other names than those that are configured, and a list elsewhere than it is looked for.
        (
            json!([{"owner": 1, "id": 2}]),
            json!({"items": [{"of": 1, "id": 3}]}),
            json!([{"of": 1, "id": 4}]),
            "User.friends, User.posts, User.best",
            json!({"friends": null, "posts": null, "best": null}),
        ),
        (none.clone(), json!({"data": {"items": []}}), json!({"items": null}), "", json!({"friends": [], "posts": [], "best": null})),
        // Others may be there as well, and nothing for the one that was asked for.
        (
            json!([{"of": 7, "id": 2}, {"id": 3}]),
            json!({"data": [{"items": []}, {"items": [{"of": 1, "id": 3}]}]}),
            json!({"items": [{"of": 8, "id": 4}]}),
            "",
            json!({"friends": [], "posts": [{"id": "3"}], "best": null}),
        ),
    ] {
        let table = Table::of(&[
            ("GET u /user", ok(json!({"id": 1}))),
            ("GET u /friends?ids=1", ok(friends)),
            ("GET u /posts?ids=1", ok(posts)),
            ("GET u /best?ids=1", ok(best)),
        ]);

        let outcome = run(&graph, ask("{ user { friends { id } posts { id } best { id } } }"), &table).await;

        assert_eq!(json_of(&outcome)["data"]["user"], data);
        let mut told: Vec<&str> = header(&outcome, "x-bff-missing").into_iter().flat_map(|names| names.split(", ")).collect();
        let mut expected: Vec<&str> = missing.split(", ").filter(|name| !name.is_empty()).collect();
        told.sort_unstable();
        expected.sort_unstable();
        assert_eq!(told, expected);
        assert_eq!(outcome.missing.len(), expected.len());
        assert!(outcome.missing.iter().all(|missing| missing.cause == "malformed"), "{:?}", outcome.missing);
        let counted = table.counted().iter().filter(|line| line.ends_with(" malformed")).count();
        assert_eq!(counted, expected.len(), "{:?}", table.counted());
    }
}

#[tokio::test]
async fn what_came_in_place_of_a_value_is_told_to_operators_and_not_to_clients() {
    let graph = shop(json!({}));
    let table = Table::of(&[
        ("GET u /user/1", ok(json!({"id": 1, "name": {"secret": "word"}, "size": "HUGE", "tags": ["a", null], "score": "x"}))),
        ("GET u /user/2", ok(json!({"id": 2, "name": [], "tags": 5}))),
        ("GET u /any", ok(json!({"all": [{"id": 1}]}))),
        ("GET u /grid", ok(json!({}))),
    ]);

    let document = "{ a: user(id: 1) { name size score } b: user(id: 1) { tags } c: user(id: 2) { name tags } any { id } grid }";
    let outcome = run(&graph, ask(document), &table).await;

    let mut told: Vec<String> = outcome.missing.iter().map(|missing| format!("{} ({})", missing.name, missing.cause)).collect();
    told.sort();
    assert_eq!(told.len(), 5, "no more than that: {told:?}");
    let all = [
        "Query.any (an object of a type that is not told where [Being] is expected)",
        "Query.grid (an object where [[Int!]] is expected)",
        "User.name (an object where String is expected)",
        "User.score (a text where Float is expected)",
        "User.size (a text where Size is expected)",
        "User.tags (nothing where [String!]! is expected)",
    ];
    assert!(told.iter().all(|told| all.contains(&told.as_str())), "{told:#?}");
    assert_eq!((header(&outcome, "x-bff-complete"), header(&outcome, "x-bff-missing")), (Some("false"), None));
    assert!(!text_of(&outcome).contains("expected") && !text_of(&outcome).contains("word"), "{}", text_of(&outcome));
}

#[tokio::test]
async fn what_is_wrong_with_a_document_is_told_once_and_without_what_only_follows_from_it() {
    let graph = shop(json!({}));
    let table = Table::of(&[]);
    for (document, message) in [
        ("{ user(id: 1) { nam } }", "type `User` does not have a field `nam`"),
        ("{ user(id: 1) { name", "syntax error: expected `}`, found the end"),
        ("{ user(id: 1 { name } }", "syntax error: expected `)`, found `{`"),
        ("{ user(id: 1) }", "interface, union and object types must have a subselection set"),
    ] {
        let answer = json_of(&run(&graph, ask(document), &table).await);

        let errors = answer["errors"].as_array().unwrap();
        let found: Vec<&str> = errors.iter().map(|error| error["message"].as_str().unwrap()).collect();
        assert!(found.len() == 1 && found[0].starts_with(message), "{document}: {found:?}");
    }
}
