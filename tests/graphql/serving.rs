//! What a route with a graph promises: statuses, who may ask for what, what is known beforehand, what clients of a kind do not get, what is told.

use serde_json::json;

use super::world::World;
use crate::compose::mock::{self, ask};
use crate::harness::{Log, Origin, Process, until};

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn what_is_no_request_is_refused_and_asks_nobody_for_anything() {
    let world = World::start("graphql-refused", "limits: {body: 4KiB}", "      limits: {depth: 3}");
    let query = r#"{"query":"{version}"}"#;
    let long = format!(r#"{{"query":"{{version}}","padding":"{}"}}"#, "x".repeat(8_192));
    let mutation = "/graphql?query=mutation%7Brate(product:1,stars:2)%7Bstars%7D%7D";

    for (method, target, headers, body, status) in [
        ("POST", "/graphql", vec![("Content-Type", "text/plain")], Some(query), 415),
        ("POST", "/graphql", vec![("Content-Type", "application/x-www-form-urlencoded")], Some("query=%7Bversion%7D"), 415),
        ("POST", "/graphql", vec![("Content-Type", "multipart/form-data; boundary=x")], Some("--x--"), 415),
        ("POST", "/graphql", vec![], Some(query), 415),
        ("POST", "/graphql", vec![JSON], Some(r#"[{"query":"{version}"}]"#), 400),
        ("POST", "/graphql", vec![JSON], Some(r#"{"query":"#), 400),
        ("POST", "/graphql", vec![JSON, ("Accept", "image/png")], Some(query), 406),
        ("POST", "/graphql", vec![JSON], Some(&long), 413),
        ("PUT", "/graphql", vec![JSON], Some(query), 405),
        ("DELETE", "/graphql", vec![], None, 405),
        ("GET", mutation, vec![], None, 405),
        ("GET", "/graphql", vec![], None, 400),
        ("POST", "/graphql", vec![JSON], Some(r#"{"query":"{user(id:1){best{best{name}}}}"}"#), 200),
        (
            "POST",
            "/graphql",
            vec![JSON, ("Accept", "application/graphql-response+json")],
            Some(r#"{"query":"{user(id:1){best{best{name}}}}"}"#),
            400,
        ),
        (
            "POST",
            "/graphql",
            vec![JSON, ("Accept", "application/graphql-response+json")],
            Some(r#"{"query":"{__schema{types{name}}}"}"#),
            400,
        ),
    ] {
        let reply = ask(world.process.address, method, target, &headers, body);

        assert_eq!(reply.status, status, "{method} {target} {headers:?} {body:?}: {}", reply.text());
        if status == 405 {
            let allow = if method == "GET" { "POST" } else { "GET, HEAD, POST" };
            assert_eq!(reply.header("allow"), Some(allow), "{method} {target}");
        }
    }

    assert_eq!(world.asked(), Vec::<String>::new());
    for (reason, count) in [
        ("media_type", 4),
        ("batch", 1),
        ("malformed", 2),
        ("not_acceptable", 1),
        ("method", 2),
        ("mutation_by_get", 1),
        ("limit", 2),
        ("introspection", 1),
    ] {
        let series = format!("frontgate_graphql_refused_total{{route=\"graph\",reason=\"{reason}\"}}");
        assert_eq!(world.metric(&series), f64::from(count), "{series}");
    }
}

#[test]
fn queries_come_by_get_too_and_only_where_they_may() {
    let world = World::start("graphql-get", "timeout: 60s", "");
    let url = "/graphql?query=query+V(%24x%3ABoolean!)%7Bversion+%40include(if%3A%24x)%7D&variables=%7B%22x%22%3Atrue%7D&operationName=V";

    let told = ask(world.process.address, "GET", url, &[], None);
    let head = ask(world.process.address, "HEAD", url, &[], None);
    assert_eq!((told.status, told.json()), (200, json!({"data": {"version": "v2.4"}})), "{}", told.text());
    assert_eq!((told.header("x-bff-complete"), told.header("vary")), (Some("true"), Some("Accept")));
    assert_eq!((head.status, head.body.len()), (200, 0));

    let closed = World::start("graphql-post-alone", "timeout: 60s", "      get: false");
    let refused = ask(closed.process.address, "GET", url, &[], None);
    assert_eq!((refused.status, refused.header("allow")), (405, Some("POST")));
}

#[test]
fn what_a_device_does_not_get_is_null_and_not_asked_for() {
    let world = World::start("graphql-hidden", "timeout: 60s", "      hide: {profiles: {smart_tv: [Product.hd, User.orders]}}");
    let body = json!({"query": "{user(id:1){name orders{id}} product(id:10){name hd}}"}).to_string();

    let tv =
        ask(world.process.address, "POST", "/graphql", &[JSON, ("User-Agent", "Mozilla/5.0 (SMART-TV; Linux; Tizen 5.0)")], Some(&body));
    assert_eq!(tv.json()["data"], json!({"user": {"name": "User 1 \"q\" \u{e9}", "orders": null}, "product": {"name": "P10", "hd": null}}));
    assert_eq!((tv.json().get("errors"), tv.header("x-bff-complete")), (None, Some("true")));
    let mut asked = world.asked();
    asked.sort();
    assert_eq!(asked, ["/catalog/products/10", "/users/users/1"]);

    let desk = ask(world.process.address, "POST", "/graphql", &[JSON], Some(&body));
    assert_eq!(desk.json()["data"]["product"]["hd"], "/hd/10");
    assert_eq!(desk.json()["data"]["user"]["orders"][0]["id"], "o11");
}

#[test]
fn who_may_ask_for_the_schema_is_said_by_facts() {
    let world = World::start("graphql-introspection", "timeout: 60s", "      introspection: {header.X-Developer: \"1\"}");
    let body = json!({"query": "{__type(name: \"Review\"){fields{name}}}"}).to_string();
    let response = ("Accept", "application/graphql-response+json");

    let stranger = ask(world.process.address, "POST", "/graphql", &[JSON, response], Some(&body));
    let developer = ask(world.process.address, "POST", "/graphql", &[JSON, response, ("X-Developer", "1")], Some(&body));

    assert_eq!((stranger.status, stranger.json().get("data")), (400, None), "{}", stranger.text());
    let fields = json!([{"name": "stars"}, {"name": "text"}, {"name": "author"}]);
    assert_eq!(developer.json(), json!({"data": {"__type": {"fields": fields}}}));
    assert!(developer.head.to_ascii_lowercase().contains("vary: x-developer"), "{}", developer.head);
    // What everybody may ask of an object is what type it is.
    assert_eq!(world.query("{__typename}").json(), json!({"data": {"__typename": "Query"}}));
}

#[test]
fn a_part_that_failed_is_null_with_its_error_and_the_answer_says_that_it_is_not_whole() {
    let log = Log::new("graphql-partial");
    let world = World::with("graphql-partial", "timeout: 60s", "", &log.of("telemetry: {access_log: \"off\"}\n"));

    let told = world.query("query Page($n: Int = 1) {user(id: 3){name orders(limit: $n){id}} version}");

    assert_eq!(told.status, 200);
    let json = told.json();
    assert_eq!(json["data"], json!({"user": {"name": "User 3 \"q\" \u{e9}", "orders": null}, "version": "v2.4"}), "{json}");
    assert_eq!((&json["errors"][0]["path"], &json["errors"][0]["extensions"]["code"]), (&json!(["user", "orders"]), &json!("CALL_FAILED")));
    assert_eq!(json["errors"][0]["extensions"]["call"], "User.orders");
    assert!(!told.text().contains("\"db\""), "nothing of what the service said: {}", told.text());
    assert_eq!((told.header("x-bff-complete"), told.header("x-bff-missing")), (Some("false"), Some("User.orders")));
    assert_eq!(told.header("cache-control"), Some("no-store"));
    let line = &log.wait_for(1)[0];
    assert_eq!((&line["operation"], &line["calls"]), (&json!("Page"), &json!(3)), "{line}");
    assert!(line["missing"].as_str().is_some_and(|missing| missing.starts_with("User.orders (")), "{line}");
    for (series, count) in [
        (r#"frontgate_graphql_requests_total{route="graph",operation="query",result="partial"}"#, 1.0),
        (r#"frontgate_graphql_plans_total{route="graph",result="miss"}"#, 1.0),
        (r#"frontgate_calls_total{route="graph",call="User.orders",result="status_5xx"}"#, 1.0),
        (r#"frontgate_calls_total{route="graph",call="Query.user",result="ok"}"#, 1.0),
        (r#"frontgate_incomplete_total{route="graph"}"#, 1.0),
    ] {
        assert_eq!(world.metric(series), count, "{series}");
    }
}

/// A gateway with a graph of one field whose schema and operations lie in files beside it.
fn in_files(name: &str, origin: &Origin, sdl: &str, operations: &str, graphql: &str) -> (Process, std::path::PathBuf) {
    let folder = Process::folder(name);
    std::fs::write(folder.join("shop.graphql"), sdl).unwrap();
    std::fs::write(folder.join("operations.json"), operations).unwrap();
    let text = format!(
        "version: 1\nserver: {{listeners: [{{address: 127.0.0.1:0}}], admin: 127.0.0.1:0}}\nupstreams: {{p: {{endpoints: [\"{}\"]}}}}\n\
         routes:\n  - name: graph\n    path: /graphql\n    graphql:\n      schema: {{file: shop.graphql}}\n      \
         fields: {{Query.thing: {{upstream: p, get: /thing}}}}\n{graphql}\n",
        origin.address
    );
    (Process::start(name, &text), folder)
}

fn post(process: &Process, body: &serde_json::Value) -> crate::harness::Reply {
    ask(process.address, "POST", "/graphql", &[JSON], Some(&body.to_string()))
}

#[test]
fn operations_are_known_from_a_file_and_no_others_run_where_it_says_so() {
    let origin = Origin::json(r#"{"name": "x", "secret": "y"}"#);
    let sdl = "type Query { thing: Thing } type Thing { name: String secret: String }";
    let operations = r#"{"thing": "query Thing {thing{name}}"}"#;
    let (process, _) = in_files("graphql-only", &origin, sdl, operations, "      persisted: {file: operations.json, only: true}");

    let known = post(&process, &json!({"documentId": "thing"}));
    let by_url = ask(process.address, "GET", "/graphql?documentId=thing", &[], None);
    let by_extension = post(&process, &json!({"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "thing"}}}));
    let text = post(&process, &json!({"query": "query Thing {thing{name}}"}));
    for reply in [known, by_url, by_extension, text] {
        assert_eq!(reply.json(), json!({"data": {"thing": {"name": "x"}}}));
    }

    let other = post(&process, &json!({"query": "{thing{secret}}"}));
    assert_eq!(other.json()["errors"][0]["extensions"]["code"], "QUERY_NOT_IN_SAFELIST");
    let unknown = post(&process, &json!({"documentId": "other"}));
    assert_eq!(unknown.json()["errors"][0]["extensions"]["code"], "PERSISTED_QUERY_NOT_FOUND");
    assert_eq!(origin.received().len(), 4);
}

#[test]
fn clients_make_operations_known_by_their_hash() {
    let world = World::start("graphql-automatic", "timeout: 60s", "      persisted: {automatic: 10}");
    // printf %s '{version}' | sha256sum
    let hash = sha256("{version}");
    let extensions = json!({"persistedQuery": {"version": 1, "sha256Hash": hash}});

    let first = world.post(&json!({"extensions": extensions}));
    assert_eq!((first.status, first.json()["errors"][0]["message"].as_str()), (200, Some("PersistedQueryNotFound")));
    let told = world.post(&json!({"query": "{version}", "extensions": extensions}));
    assert_eq!(told.json(), json!({"data": {"version": "v2.4"}}));
    let again = world.post(&json!({"extensions": extensions}));
    assert_eq!(again.json(), json!({"data": {"version": "v2.4"}}));
    let wrong = world.post(&json!({"query": "{user(id:1){name}}", "extensions": extensions}));
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    assert_eq!(world.asked(), ["/users/version", "/users/version"]);
}

fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_changed_schema_is_served_without_a_restart_and_one_that_is_wrong_is_told_in_its_lines() {
    let origin = Origin::start(|_, stream| mock::answer(stream, 200, &json!({"name": "x", "price": 5})));
    let before = "type Query { thing: Thing }\ntype Thing { name: String }\n";
    let (process, folder) = in_files("graphql-reload", &origin, before, "{}", "");
    let query = json!({"query": "{thing{name price}}"});
    assert_eq!(post(&process, &query).json().get("data"), None);
    assert_eq!(post(&process, &json!({"query": "{thing{name}}"})).json(), json!({"data": {"thing": {"name": "x"}}}));

    std::fs::write(folder.join("shop.graphql"), "type Query { thing: Thing }\ntype Thing { name: String price: Int }\n").unwrap();
    until("the new schema is served", || post(&process, &query).json() == json!({"data": {"thing": {"name": "x", "price": 5}}}));

    std::fs::write(folder.join("shop.graphql"), "type Query { thing: Thing }\ntype Thing { name: Strin }\n").unwrap();
    until("the mistake is told", || process.said().contains("shop.graphql:2:"));
    assert_eq!(post(&process, &query).json(), json!({"data": {"thing": {"name": "x", "price": 5}}}), "what serves goes on");
}

#[test]
fn plans_of_a_graph_that_stays_the_same_are_kept_over_a_reload() {
    let world = World::start("graphql-plans", "timeout: 60s", "");
    world.query("{version}");
    world.query("{version}");
    assert_eq!(world.metric(r#"frontgate_graphql_plans_total{route="graph",result="hit"}"#), 1.0);

    assert_eq!(world.process.ask("POST", "/-/reload").status, 200);
    world.query("{version}");

    assert_eq!(world.metric(r#"frontgate_graphql_plans_total{route="graph",result="hit"}"#), 2.0);
    assert_eq!(world.metric(r#"frontgate_graphql_plans_total{route="graph",result="miss"}"#), 1.0);
}

#[test]
fn what_was_decided_and_how_long_calls_took_is_told_to_who_is_trusted() {
    let origin = Origin::json(r#"{"name": "x"}"#);
    let sdl = "type Query { thing: Thing gone: Thing } type Thing { name: String }";
    let config = |trusted: &str| {
        format!(
            "version: 1\nserver: {{listeners: [{{address: 127.0.0.1:0}}], admin: 127.0.0.1:0, {trusted}}}\nupstreams: {{p: {{endpoints: [\"{}\"]}}, q: {{endpoints: [127.0.0.1:1]}}}}\n\
             routes:\n  - name: graph\n    path: /graphql\n    timeout: 60s\n    graphql:\n      schema: {sdl:?}\n      \
             fields: {{Query.thing: {{upstream: p, get: /thing}}, Query.gone: {{upstream: q, get: /gone}}}}\n",
            origin.address
        )
    };
    let asks = |process: &Process, query: &str| {
        let headers = [JSON, ("X-Frontgate-Explain", "1")];
        ask(process.address, "POST", "/graphql", &headers, Some(&json!({"query": query}).to_string()))
    };
    let process = Process::start("graphql-explain", &config("trusted_proxies: [127.0.0.1]"));

    let whole = asks(&process, "{thing{name}}");
    let partial = asks(&process, "{thing{name} gone{name}}");
    let refused = asks(&process, "{nothing}");

    let told = whole.header("x-frontgate-explain").unwrap_or_else(|| panic!("{}", whole.head));
    assert!(told.starts_with(r#"route;desc="graph""#) && told.contains(r#"reason;desc="graphql""#), "{told}");
    assert!(told.contains(r#"call;desc="Query.thing";upstream="p";status=200;result=ok;dur="#), "{told}");
    let told = partial.header("x-frontgate-explain").unwrap_or_else(|| panic!("{}", partial.head));
    assert!(told.contains(r#"call;desc="Query.gone";upstream="q";result=connect;dur="#) && told.contains("Query.thing"), "{told}");
    let told = refused.header("x-frontgate-explain").unwrap_or_else(|| panic!("{}", refused.head));
    assert!(told.contains(r#"reason;desc="graphql_validation""#) && !told.contains("call;"), "{told}");
    // Nothing of it is in what everybody gets.
    assert!(!partial.text().contains("127.0.0.1") && !partial.text().contains("connect"), "{}", partial.text());
    let closed = Process::start("graphql-explain-closed", &config("trusted_proxies: []"));
    assert_eq!(asks(&closed, "{thing{name}}").header("x-frontgate-explain"), None);
}

#[test]
fn numbers_of_variables_reach_services_with_all_their_digits() {
    let origin = Origin::json(r#"{"name": "x"}"#);
    let text = format!(
        "version: 1\nserver: {{listeners: [{{address: 127.0.0.1:0}}], admin: 127.0.0.1:0}}\nupstreams: {{p: {{endpoints: [\"{}\"]}}}}\n\
         routes:\n  - name: graph\n    path: /graphql\n    timeout: 60s\n    graphql:\n      \
         schema: \"scalar Big type Query {{ thing(id: ID!, big: Big): Thing }} type Thing {{ name: String }}\"\n      \
         fields: {{Query.thing: {{upstream: p, post: \"/thing/{{args.id}}\", body: {{big: \"{{args.big}}\"}}}}}}\n",
        origin.address
    );
    let process = Process::start("graphql-digits", &text);
    let (long, precise) = ("123456789012345678901234567890", "0.12345678901234567890");
    let query = "query($id: ID!, $big: Big) {thing(id: $id, big: $big) {name}}";
    let variables = format!(r#"{{"id": {long}, "big": [{precise}, -{long}]}}"#);

    let posted = format!(r#"{{"variables": {variables}, "query": "{query}"}}"#);
    let by_post = ask(process.address, "POST", "/graphql", &[JSON], Some(&posted));
    let encoded = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let by_get = ask(process.address, "GET", &format!("/graphql?query={}&variables={}", encoded(query), encoded(&variables)), &[], None);

    for reply in [by_post, by_get] {
        assert_eq!(reply.json(), json!({"data": {"thing": {"name": "x"}}}), "{}", reply.text());
    }
    let received = origin.received();
    assert_eq!(received.len(), 2);
    for request in &received {
        assert_eq!(mock::target(request).path, format!("/thing/{long}"));
        assert_eq!(mock::body(request).as_deref(), Some(&*format!(r#"{{"big":[{precise},-{long}]}}"#)));
    }
}
