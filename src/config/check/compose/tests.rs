//! What is said of aggregates, by the cases that are carried along and beyond.

use serde_json::Value;

use crate::config::load_text;

/// What `check` says of an aggregate with these lines, each with its help, without backticks. The first is line 1 of the aggregate's own.
fn told(path: &str, route: &str, aggregate: &str) -> Vec<String> {
    let text = format!(
        "version: 1\nserver: {{listeners: [{{address: \"127.0.0.1:8080\"}}]}}\nupstreams: {{p: {{endpoints: [\"10.0.0.1:80\"]}}}}\n\
         routes:\n  - name: it\n    path: \"{path}\"\n    {route}\n    aggregate:\n{aggregate}\n"
    );
    let items = match load_text("a.yaml", &text) {
        Ok(loaded) => loaded.warnings.items,
        Err(found) => found.items,
    };
    let said = items.into_iter().map(|item| {
        let written = item.place.as_ref().map_or("", |at| &text[at.range.clone()]).lines().next().unwrap_or_default();
        let help = item.help.map(|help| format!(" (help: {help})")).unwrap_or_default();
        format!("{:?} at {written}: {}{help}", item.severity, item.message).replace('`', "")
    });
    said.filter(|said| !said.contains("upstream p is not used")).collect()
}

fn calls(calls: &str) -> Vec<String> {
    told("/x/{id}", "timeout: 3s", &format!("      calls: {calls}"))
}

#[track_caller]
fn assert_told(found: &[String], words: &[&str]) {
    for words in words {
        assert!(found.iter().any(|said| said.contains(words)), "{words}: {found:#?}");
    }
    assert_eq!(found.len(), words.len(), "{found:#?}");
}

#[test]
fn the_cases_are_told_in_their_words() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../../../tests/data/compose/aggregate/check.json")).expect("JSON");

    for case in &cases {
        let text = |key: &str| case[key].as_str().unwrap_or_default();
        let mut aggregate = format!("      calls: {}", text("calls"));
        if let Some(answer) = case["answer"].as_str() {
            aggregate.push_str(&format!("\n      answer: {answer}"));
        }

        let found = told(text("path"), &format!("timeout: {}", text("timeout")), &aggregate);

        let says = match text("says") {
            "pool q (did you mean p?)" => "there is no upstream q (help: did you mean p?)",
            says => says,
        };
        let level = match text("level") {
            "error" => "Error at",
            "warning" => "Warning at",
            _ => {
                assert!(found.is_empty(), "{}: {found:#?}", text("name"));
                continue;
            }
        };
        let is_told = found.iter().any(|said| said.starts_with(level) && said.contains(says));
        assert!(is_told, "{}: {says}: {found:#?}", text("name"));
    }
    assert!(cases.len() >= 15);
}

#[test]
fn aggregates_that_work_are_told_nothing_wrong_of() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../../../tests/data/compose/aggregate/cases.json")).expect("JSON");

    for case in &cases {
        let text = format!(
            "version: 1\nserver: {{listeners: [{{address: \"127.0.0.1:8080\"}}]}}\n\
             upstreams: {{a: {{endpoints: [\"10.0.0.1:80\"]}}, b: {{endpoints: [\"10.0.0.2:80\"]}}}}\nroutes:\n{}",
            case["routes"].as_str().expect("routes")
        );

        let found = load_text("a.yaml", &text).map(|loaded| loaded.warnings).unwrap_or_else(|found| found);

        let errors: Vec<&str> = found.items.iter().map(|item| item.message.as_str()).collect();
        let harmless = |message: &&str| {
            ["is not used", "is called and not used", "is one call for each value", "fails wherever"]
                .iter()
                .any(|known| message.contains(known))
        };
        assert!(errors.iter().all(harmless), "{}: {errors:#?}", case["name"]);
    }
}

#[test]
fn rings_are_told_once_with_all_their_members() {
    let found = calls(
        "{a: {upstream: p, get: \"/{b.x}\"}, b: {upstream: p, get: \"/{c.x}\"}, c: {upstream: p, get: \"/{a.x}?q={d.x}\"}, d: {upstream: p, get: \"/{c.y}\"}}",
    );

    assert_told(&found, &["Error at {b.x}: a needs b, b needs c, and c needs a", "Error at {d.x}: c needs d, and d needs c"]);
}

#[test]
fn references_are_told_where_they_stand_with_what_was_meant() {
    assert_told(
        &calls("{user: {upstream: p, get: /u, headers: {X-A: \"{clam.sub}\"}}, cart: {upstream: p, get: \"/u/{usr.id}\"}}"),
        &[
            "Error at usr.id: usr is no call, no variable of the route's path and no selector (help: did you mean user?)",
            "Error at clam.sub: clam is no call",
        ],
    );
    // What it stands in is not what is meant: that would be a ring.
    let own = calls("{user: {upstream: p, get: \"/u/{usr.id}/{userid}\"}}");
    assert_told(&own, &["Error at usr.id: usr is no call", "Error at userid: userid is no call"]);
    assert!(own[1].contains("did you mean id?") && !own.iter().any(|said| said.contains("did you mean user?")), "{own:#?}");
    assert_told(&calls("{a: {upstream: p, get: \"/a/{id\"}}"), &["Error at {: this brace is not closed"]);
    assert_told(&calls("{a: {upstream: p, get: \"/a/{header}\"}}"), &["header names no header: write header.NAME"]);
    assert_told(&calls("{a: {upstream: p, get: \"/a?x={{id}}\"}}"), &["Warning at {{id}}: {{id}} is no reference"]);
    assert_told(&calls("{a: {upstream: p, get: \"/a/{each}\"}}"), &["each is the value that a call with the key each is made for"]);
    assert_told(&calls("{a: {upstream: p, get: \"/{...id}\"}}"), &["... spreads into JSON, and this is text (help: write {id}"]);
    assert_told(
        &calls(
            "{a: {upstream: p, get: \"/a?{query}&b=1\"}, b: {upstream: p, get: \"/b?x={query}\"}, c: {upstream: p, get: \"/c?{query}\"}}",
        ),
        &[
            "Warning at {query}: {query} is whatever the client sends: a b of its own goes along",
            "Error at {query}: {query} is the whole query",
        ],
    );
    assert_told(&calls("{a: {upstream: p, get: \"/a/{version}\"}}"), &["version finds nothing"]);
    assert_told(
        &calls("{a: {upstream: p, get: \"/a/{claim.sub}\"}}"),
        &["Error at {claim.sub}: claim.sub is read here, and no filter of this route verifies a token"],
    );
}

#[test]
fn a_target_is_a_path_of_the_upstream() {
    for (target, words) in [
        ("x", "Error at \"x\": x is not a path: it does not begin with a slash"),
        (
            "http://h/x/{id}",
            "begins with a scheme: a call goes to its upstream, by a path (help: write /x/{id}, and the host as an endpoint",
        ),
        ("/a b", "  cannot stand in a path or a query"),
        ("/a#b", "# begins a fragment"),
        ("/a/../b", "the segment .. is one that servers resolve"),
        ("{id}/x", "does not begin with a slash"),
    ] {
        assert_told(&calls(&format!("{{a: {{upstream: p, get: \"{target}\"}}}}")), &[words]);
    }
    assert_told(
        &calls("{a: {upstream: p, get: /a, post: /b, put: /c}}"),
        &["Error at post: a call has one verb, and this one has get and post", "this one has get and put"],
    );
    assert_told(&calls("{a: {upstream: p, post: /a, body: }}"), &["Error at body: body has no value"]);
}

#[test]
fn headers_and_what_is_given_back_are_the_calls_own() {
    assert_told(
        &calls("{a: {upstream: p, get: /a, headers: {Host: x, X-A: \"1\", x-a: \"2\", \"a b\": x, Accept-Encoding: gzip, X-B: \" x\"}}}"),
        &[
            "Host is a header that the gateway itself sets",
            "x-a stands twice",
            "a b is not a header name",
            "Accept-Encoding is a header that the gateway itself sets",
            "must be printable ASCII",
        ],
    );
    assert_told(
        &calls(
            "{a: {upstream: p, get: /a, back: [Set-Cookie, Content-Length, Cache-Control, X-BFF-Complete]}, b: {upstream: p, get: /b, back: [set-cookie]}}",
        ),
        &[
            "Content-Length is a header that the gateway itself sets",
            "Cache-Control of an answer is always the strictest",
            "X-BFF-Complete is a header",
            "Error at set-cookie: set-cookie is given back by a already",
        ],
    );
}

#[test]
fn what_is_hidden_and_needed_is_told_at_the_need() {
    let found = calls(
        "{cart: {upstream: p, get: /c, keep: [items.id, total], rename: {total: sum}}, \
          user: {upstream: p, get: \"/u/{cart.owner}?t={cart.total}&s={cart.sum}&i={cart.items.0.id}\", drop: [secret]}, \
          more: {upstream: p, get: \"/m/{user.secret.key}\"}, \
          list: {upstream: p, get: \"/l?i={each}\", each: cart.items.sku, batch: 5, by: id, keep: [name]}}",
    );

    assert_told(
        &found,
        &[
            "Error at {cart.owner}: keep of cart hides owner, which user needs",
            "Error at {cart.total}: total of cart is called sum there, by rename",
            "Error at {user.secret.key}: drop of user removes secret.key, which more needs",
            "Error at cart.items.sku: keep of cart hides items.sku, which list needs",
            "Error at id: keep of list hides id, which by needs",
        ],
    );
}

#[test]
fn shapes_that_cannot_be_are_refused() {
    assert_told(&calls("{a: {upstream: p, get: /a, keep: [a], drop: [b]}}"), &["Error at drop: a call has keep or drop, not both"]);
    assert_told(&calls("{a: {upstream: p, get: /a, keep: []}}"), &["the list is empty"]);
    assert_told(
        &calls("{a: {upstream: p, get: /a, rename: {x.a: c, x.b: c, \"y.*\": d, \"..\": e}}}"),
        &["x.a and x.b would both become c", "y.* ends with a star", "a name is missing here"],
    );
    assert_told(
        &calls("{a: {upstream: p, get: /a, keep: [x.date, x.at, y], rename: {x.date: at}}}"),
        &["x.date becomes at, to which x.at gives way, which keep names"],
    );
    assert_told(&calls("{a: {upstream: p, get: /a, keep: [at, to, y], rename: {at: to, to: at}}}"), &[]);
    assert_told(
        &calls("{a: {upstream: p, get: /a, otherwise: null, optional: true, timeout: 0s, when: {}}}"),
        &["a call has otherwise or is optional, not both", "timeout of the call is 0", "when is empty"],
    );
    assert_told(
        &calls("{a: {upstream: p, get: \"/a/{client_cert.cn}\", when: {device: [dekstop, tablet]}}}"),
        &[
            "client_cert.cn finds nothing: no listener asks",
            "Error at dekstop: there is no device class dekstop (help: did you mean desktop?)",
        ],
    );
    assert_told(&calls("{a: {upstream: p, get: /a, when: {devise: tv, method: get}}}"), &["did you mean device?", "get is not a method"]);
}

#[test]
fn each_has_bounds_and_a_place_for_its_results() {
    assert_told(
        &calls("{a: {upstream: p, get: /a, most: 5, concurrency: 2, batch: 2, by: x, many: true, into: a.x}}"),
        &[
            "most belongs to each",
            "concurrency belongs to each",
            "batch belongs to each",
            "by belongs to each",
            "many belongs to each",
            "into belongs to each",
        ],
    );
    let list = |rest: &str| {
        calls(&format!("{{l: {{upstream: p, get: /l}}, a: {{upstream: p, get: \"/a?i={{each}}\", each: l.items.id, {rest}}}}}"))
    };
    assert_told(
        &list("batch: 0, by: id, most: 20000, concurrency: 0"),
        &["batch must be at least 1", "most must be at least 1 and at most 10000", "concurrency must"],
    );
    assert_told(&list("batch: 200, by: id"), &["there are never 200 values in one call"]);
    assert_told(&list("batch: 2, by: id, most: 1000"), &["these may be 500 calls, and a request may make 64"]);
    assert_told(&list("batch: many, by: id"), &["expected a whole number"]);
    assert_told(
        &list("by: id, many: true"),
        &["by belongs to batch", "many belongs to batch", "Warning at l.items.id: a is one call for each value of l.items.id, at most 100"],
    );
    assert_told(&list("batch: 9, by: id, into: l.items.id.x"), &["into must lie where each goes: l.items (help: write l.items.x)"]);
    assert_told(&list("batch: 9, by: id, into: a.items.x"), &["into must lie where each goes: l.items"]);
    assert_told(&list("batch: 9, by: id, into: l.x"), &[]);
    assert_told(&list("batch: 9, by: id, back: [X-A]"), &["a call with each has many answers"]);
    assert_told(
        &calls("{l: {upstream: p, get: /l}, a: {upstream: p, get: \"/a\", each: l.id, batch: 9, by: id}}"),
        &["{each} stands nowhere in it"],
    );
    assert_told(
        &calls("{a: {upstream: p, get: \"/a/{each}\", each: query.ids, batch: 9, by: id}}"),
        &["each goes through the answer of another call, and query.ids is none"],
    );
    let two = "{l: {upstream: p, get: /l}, a: {upstream: p, get: \"/a/{each}\", each: l.id, batch: 9, by: id, into: l.x}, \
               b: {upstream: p, get: \"/b/{each}?{l.x.y}\", each: l.id, batch: 9, by: id, into: l.x}}";
    assert_told(&calls(two), &["a and b would both become l.x", "l.x.y is not there yet where references look: a puts it there"]);
}

#[test]
fn answers_name_each_member_once() {
    let answer = |answer: &str| {
        let calls = "{a: {upstream: p, get: /a, keep: [x, y.z], rename: {x: n}}, b: {upstream: p, get: /b, keep: [n, m]}, c: {upstream: p, get: /c}}";
        told("/x/{id}", "timeout: 3s", &format!("      calls: {calls}\n      answer: {answer}"))
    };
    assert_told(&answer("{\"...\": [a, b], c: \"{c}\"}"), &["Error at b: a and b both have the member n"]);
    assert_told(&answer("{\"...\": [a, b], n: \"{c}\"}"), &[]);
    assert_told(&answer("{\"...\": [a.y, b], c: \"{c}\"}"), &[]);
    assert_told(&answer("{\"...\": [a, a], c: \"{c}{b}\"}"), &["a is spread twice"]);
    assert_told(&answer("{\"...\": [a, c], b: \"{b}\"}"), &["their members may collide: give both a keep"]);
    assert_told(&answer("{\"...\": \"{a}\", b: [\"{...b}\", \"{c}\"]}"), &["here a call is named without braces (help: write a)"]);
    assert_told(
        &answer("{\"...\": id, b: \"{...b}\", c: [\"x{...c}\"], \"{a}\": \"{a}\"}"),
        &[
            "id has no members",
            "... in braces spreads elements into a list, and this is no list",
            "it stands alone in its text",
            "Warning at \"{a}\": {a} is a name",
        ],
    );
    assert_told(&answer("null"), &["answer has no value"]);
}

#[test]
fn what_costs_too_much_is_told() {
    let limits = |limits: &str| {
        told(
            "/",
            "timeout: 3s",
            &format!("      calls: {{a: {{upstream: p, get: /a}}, b: {{upstream: p, get: /b}}}}\n      limits: {limits}"),
        )
    };
    assert_told(&limits("{answer: 0B}"), &["answer is 0"]);
    assert_told(&limits("{answer: 9MiB}"), &["may be no larger than one"]);
    assert_told(&limits("{calls: 1}"), &["a request may make 1 calls (limits.calls), and these are 2"]);
    let many: Vec<String> = (0..17).map(|number| format!("c{number}: {{upstream: p, get: /{number}}}")).collect();
    assert_told(&calls(&format!("{{{}}}", many.join(", "))), &["17 calls start at once"]);
    assert_told(&calls("{}"), &["an aggregate makes at least one call"]);
}

#[test]
fn keys_and_filters_that_mean_nothing_on_an_aggregate_are_refused() {
    let route = |route: &str| told("/x", route, "      calls: {a: {upstream: p, get: /a}}");
    assert_told(&route("rewrite: {path: /y}"), &["rewrite changes the path of a request that is passed on"]);
    assert_told(&route("mirror: {upstream: p}"), &["mirror copies requests that are passed on"]);
    assert_told(&route("canary: [{version: v2, upstream: p, share: 5%}]"), &["canary chooses between upstreams"]);
    assert_told(&route("filters: [{grpc_web: {}}]"), &["this filter makes gRPC calls of requests"]);
    assert_told(&route("when: {header.Upgrade: websocket}"), &["a WebSocket needs an upstream"]);
    assert_told(
        &route("upstream: p"),
        &["leads to one thing, and upstream and aggregate are two (help: each of the calls names its own upstream"],
    );
    let posts = "      calls: {a: {upstream: p, post: /a}, b: {upstream: p, get: \"/{body.x}\"}}";
    assert_told(&told("/x", "methods: [GET]", posts), &["post sends the client's body", "body.x finds nothing"]);
}

#[cfg(feature = "graphql")]
#[test]
fn what_a_graphql_service_is_asked_is_read_and_told_at_its_place() {
    let call = |more: &str| calls(&format!("{{a: {{upstream: p, post: /graphql, {more}}}}}"));
    let query = "query: 'query A($id: ID!, $ids: [ID!], $first: Int = 1, $deep: Boolean, $name: String) { a(id: $id, ids: $ids, first: $first, deep: $deep, name: $name) }'";
    assert_told(
        &call(&format!("{query}, variables: {{id: '{{id}}', first: '{{query.first:-5}}', deep: true, ids: [a, 1], name: null}}")),
        &[],
    );
    assert_told(&call("query: '{ a }'"), &[]);

    assert_told(
        &call(&format!("{query}, variables: {{ids: []}}")),
        &["Error at $id: ID!: $id is ID!, and nothing gives it a value (help: write variables: {id: …}, or give it a default here)"],
    );
    assert_told(
        &call(&format!("{query}, variables: {{id: 1, frist: 2}}")),
        &["Error at frist: there is no variable of the query frist (help: did you mean first?)"],
    );
    assert_told(
        &call(&format!("{query}, variables: {{id: null, first: '{{query.first:-x}}', deep: 1, ids: {{a: 1}}, name: 7}}")),
        &[
            "Error at null: $id is ID!, and this is null",
            "$first is Int, and x is no Int",
            "Error at 1: $deep is Boolean, and this is 1",
            "$ids is [ID!], and this is {\"a\":1}",
            "Error at 7: $name is String, and this is 7",
        ],
    );
    assert_told(&call(&format!("{query}, variables: {{id: '{{nobody.id}}'}}")), &["nobody is no call"]);
    assert_told(&call(&format!("{query}, variables: {{id: 1, first: 'n {{query.first}}'}}")), &["$first is Int, and this is always text"]);
    assert_told(&call("query: 'query A { a(id: $id) }'"), &["Error at $id: the operation declares no variable $id"]);
    assert_told(
        &call("query: 'subscription A { a }'"),
        &["Error at subscription: a subscription has many answers, and a call has one: write a query"],
    );
    assert_told(&call("query: 'query A { a } query B { b }'"), &["a call sends one operation"]);
    assert_told(
        &call("query: '{ a }', body: {x: 1}"),
        &["Error at body: a call sends a query to a GraphQL service or a body to any other, not both"],
    );
    assert_told(&call("variables: {a: 1}"), &["Error at variables: variables belong to query, which this call has not"]);
    assert_told(
        &calls("{a: {upstream: p, get: /graphql, query: '{ a }'}}"),
        &["Error at get: a GraphQL service is asked by POST, and this is get (help: write post: /graphql)"],
    );
    assert_told(&calls("{a: {upstream: p, query: '{ a }'}}"), &["this call says not where its query is sent: write post: /graphql"]);
    assert_told(
        &calls(
            "{a: {upstream: p, get: /a}, b: {upstream: p, post: /graphql, query: 'query B($id: ID!) { b(id: $id) { id } }', variables: {id: '{each}'}, each: a.ids, batch: 9, by: id}}",
        ),
        &["$id is ID!, and {each} of a batch is a list of values (help: declare $id: [ID!])"],
    );
}

#[cfg(feature = "graphql")]
#[test]
fn what_is_wrong_with_a_document_in_a_block_is_told_in_its_own_line() {
    let calls = "      calls:
        a:
          upstream: p
          post: /graphql
          query: |
            query A($id: ID!) {
              a(id: $id) { b(c: $other) }
            }
          variables: {id: 1}";

    assert_told(&told("/x", "timeout: 3s", calls), &["Error at $other: the operation declares no variable $other"]);
    let broken = calls.replace("b(c: $other)", "b(c: )");
    let found = told("/x", "timeout: 3s", &broken);
    assert_told(&found, &["Error at ): syntax error: expected a valid Value"]);
}

#[cfg(feature = "graphql")]
#[test]
fn a_query_that_nobody_uses_is_told_of_and_a_mutation_has_its_use() {
    let of = |document: &str| {
        told(
            "/x",
            "timeout: 3s",
            &format!(
                "      calls: {{a: {{upstream: p, get: /a}}, b: {{upstream: p, post: /g, query: '{document}'}}}}\n      answer: '{{a}}'"
            ),
        )
    };

    assert_told(&of("{ b }"), &["b is called and not used"]);
    assert_told(&of("mutation { b }"), &[]);
}

#[cfg(not(feature = "graphql"))]
#[test]
fn a_build_that_reads_no_documents_says_so() {
    assert_told(&calls("{a: {upstream: p, post: /graphql, query: '{ a }'}}"), &["Error at query: this build asks no GraphQL services"]);
}
