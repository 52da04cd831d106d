//! GraphiQL at the address of a graph, in a real browser: who gets it, what it asks for, and that it asks nobody else.

use std::process::Command;

use frontgate_filters::jwt::Algorithm;
use frontgate_filters::jwt::issuer::Issuer;
use serde_json::json;

use super::world::World;
use crate::compose::mock::ask;
use crate::dashboard::browser::Browser;
use crate::harness::{Gateway, Origin, Process, Reply, yaml};

const BROWSER: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8");
const GZIP: (&str, &str) = ("Accept-Encoding", "gzip, deflate");

/// The page of a graph, once its editor is there.
fn opened(url: &str) -> Option<Browser> {
    let mut browser = Browser::start(1280, 900)?;
    browser.open(url);
    browser.until("the editor", "document.querySelector('.graphiql-query-editor .CodeMirror')?.CodeMirror !== undefined");
    Some(browser)
}

/// Types a text into one of the page's editors, in the place of what stands there.
fn type_into(browser: &mut Browser, editor: &str, text: &str) {
    browser.value(&format!(
        "(() => {{ const editor = document.querySelector({editor:?}).CodeMirror; editor.focus(); editor.execCommand('selectAll'); }})()"
    ));
    browser.write(text);
    browser.until("the text to be there", &format!("document.querySelector({editor:?}).CodeMirror.getValue() === {}", json!(text)));
}

const QUERY: &str = ".graphiql-query-editor .CodeMirror";

/// Runs what stands there, and waits for an answer that contains these words.
fn run(browser: &mut Browser, words: &str) {
    browser.value("document.querySelector('.graphiql-execute-button').click()");
    let text = format!("document.querySelector('.result-window .CodeMirror')?.CodeMirror.getValue().includes({})", json!(words));
    browser.until("the answer", &text);
}

fn get(world: &World, target: &str, headers: &[(&str, &str)]) -> Reply {
    ask(world.process.address, "GET", target, headers, None)
}

#[test]
fn a_browser_gets_a_page_in_which_a_query_is_typed_and_run_and_which_asks_nobody_else() {
    let world = World::start("graphiql", "timeout: 60s", "      introspection: true");
    let Some(mut browser) = opened(&format!("http://{}/graphql", world.process.address)) else { return };

    type_into(&mut browser, QUERY, "{ user(id: 1) { name orders { id } } }");
    run(&mut browser, "\"name\": \"User 1 \\\"q\\\" \u{e9}\"");

    let shown = browser.value("document.querySelector('.result-window .CodeMirror').CodeMirror.getValue()");
    let shown: serde_json::Value = serde_json::from_str(shown.as_str().unwrap()).unwrap();
    assert_eq!(shown["data"]["user"]["orders"][0], json!({"id": "o11"}), "{shown}");
    // The schema that it asked for by itself stands in its documentation.
    browser.value("document.querySelector('[aria-label=\"Show Documentation Explorer\"]').click()");
    browser.until("the schema", "/Mutation/.test(document.querySelector('.graphiql-plugin')?.textContent)");
    type_into(&mut browser, QUERY, "mutation { rate(product: 10, stars: 4) { average } }");
    run(&mut browser, "\"average\": 4.25");
    type_into(&mut browser, QUERY, "{ nobody }");
    run(&mut browser, "GRAPHQL_VALIDATION_FAILED");

    assert!(browser.console.iter().all(|line| line.contains("the server responded with a status of 400")), "{:?}", browser.console);
    let own = format!("http://{}/graphql", world.process.address);
    let strange: Vec<&String> = browser.requests.iter().filter(|url| **url != own && !url.starts_with("data:")).collect();
    assert!(strange.is_empty() && browser.requests.len() >= 5, "{strange:?}");
    // What the policy is there for, if anything above were otherwise.
    assert_eq!(browser.value("fetch('http://127.0.0.1:9/').then(() => 'asked', (error) => error.name)"), "TypeError");
    browser.value(
        "const script = document.createElement('script'); script.text = 'window.evil = 1'; document.head.append(script); \
         const image = document.createElement('img'); image.src = 'http://127.0.0.1:9/evil'; document.body.append(image)",
    );
    browser.until("the image to be refused", "document.querySelector('img[src*=evil]').complete");
    assert_eq!(browser.value("window.evil === undefined"), true);
    for directive in ["connect-src", "script-src", "img-src"] {
        assert!(browser.console.iter().any(|line| line.contains(directive)), "{directive}: {:?}", browser.console);
    }
}

#[test]
fn who_may_see_the_schema_by_a_token_types_it_and_the_browser_keeps_it_nowhere() {
    let origin = Origin::json(r#"{"word": "hello"}"#);
    let issuer = Issuer::fresh("k1", Algorithm::ES256).unwrap();
    let keys = Process::folder("graphiql-token").join("keys.json");
    std::fs::write(&keys, issuer.jwks()).unwrap();
    let jwt = format!("issuer: any, audience: any, algorithms: [ES256], keys: {{jwks: {{file: {:?}}}}}", keys.display().to_string());
    let gateway = Gateway::start(&yaml(
        "
        upstreams: {main: {endpoints: [$ORIGIN]}}
        filters:
          maybe: {jwt: {$JWT, optional: true}}
          login: {jwt: {$JWT, from: [header.Authorization, cookie.session]}}
        routes:
          - {name: open, path: /graphql, filters: [maybe], graphql: $GRAPH}
          - {name: closed, path: /closed, filters: [login], graphql: $GRAPH}
        ",
        &[
            (
                "$GRAPH",
                &"{schema: \"type Query { greeting: Greeting } type Greeting { word: String }\", \
                   fields: {Query.greeting: {upstream: main, get: /}}, introspection: {claim.roles: [developer]}}",
            ),
            ("$JWT", &jwt),
            ("$ORIGIN", &origin.address),
        ],
    ));
    let token = issuer.token(&json!({"sub": "u", "roles": ["developer"], "exp": 9_999_999_999_u64}));
    let asked = |headers: &[(&str, &str)]| ask(gateway.address, "GET", "/closed", headers, None).status;
    assert_eq!((asked(&[BROWSER]), asked(&[BROWSER, ("Cookie", &format!("session={token}"))])), (401, 200));
    let Some(mut browser) = opened(&format!("http://{}/graphql", gateway.address)) else { return };

    type_into(&mut browser, QUERY, "{ greeting { word } __type(name: \"Greeting\") { fields { name } } }");
    run(&mut browser, "Introspection is off here: the schema is not told.");
    browser.value(
        "[...document.querySelectorAll('.graphiql-editor-tools button')].find((button) => button.textContent === 'Headers').click()",
    );
    let editor = ".graphiql-editor-tool .graphiql-editor:not(.hidden) .CodeMirror";
    browser.until("the headers", &format!("document.querySelector({editor:?})?.CodeMirror !== undefined"));
    let typed = json!({"Authorization": format!("Bearer {token}"), "content-type": "text/plain"}).to_string();
    type_into(&mut browser, editor, &typed);
    run(&mut browser, "\"name\": \"word\"");

    browser.until("the query to be kept", "JSON.stringify(localStorage).includes('Greeting')");
    let kept = browser.value("JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie");
    assert!(!kept.as_str().unwrap().contains(&token[..20]), "{kept}");
}

#[test]
fn the_page_is_for_browsers_where_the_schema_is_told_and_nobody_else_gets_it() {
    let world = World::start("graphiql-who", "timeout: 60s", "      introspection: true");

    let page = get(&world, "/graphql", &[BROWSER, GZIP]);
    assert_eq!((page.status, page.header("content-encoding"), page.header("cache-control")), (200, Some("gzip"), Some("no-cache")));
    assert_eq!((page.header("content-type"), page.header("vary")), (Some("text/html; charset=utf-8"), Some("Accept, Accept-Encoding")));
    let tag = page.header("etag").unwrap().to_owned();
    let again = get(&world, "/graphql", &[BROWSER, GZIP, ("If-None-Match", &tag)]);
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(&*tag)));
    let head = ask(world.process.address, "HEAD", "/graphql", &[BROWSER, GZIP], None);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(&*page.body.len().to_string()));
    assert_eq!(head.header("etag"), Some(&*tag));
    let plain = get(&world, "/graphql", &[BROWSER]);
    assert!(plain.header("content-encoding").is_none() && plain.text().starts_with("<!doctype html>"), "{}", plain.head);

    let asked = get(&world, "/graphql?query=%7Bversion%7D", &[BROWSER]);
    assert_eq!((asked.status, asked.json()), (200, json!({"data": {"version": "v2.4"}})));
    for accepts in ["*/*", "application/json", "application/graphql-response+json, text/html;q=0.5"] {
        let refused = get(&world, "/graphql", &[("Accept", accepts)]);
        assert_eq!((refused.status, refused.json()["errors"][0]["extensions"]["code"].as_str()), (400, Some("BAD_REQUEST")), "{accepts}");
    }
    let file = world.process.folder.join("frontgate.yaml");
    let explained = Command::new(env!("CARGO_BIN_EXE_frontgate"))
        .args(["explain", "-c", file.to_str().unwrap(), "-H", "Accept: text/html", "GET", "/graphql"])
        .output()
        .unwrap();
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(explained.contains("200") && explained.contains("a browser gets GraphiQL"), "{explained}");
    let closed = World::start("graphiql-closed", "timeout: 60s", "      introspection: false");
    let refused = get(&closed, "/graphql", &[BROWSER]);
    assert_eq!((refused.status, refused.json()["errors"][0]["extensions"]["code"].as_str()), (400, Some("BAD_REQUEST")));
    assert!(refused.header("content-security-policy").is_none(), "{}", refused.head);
}

#[test]
fn the_page_works_behind_filters_at_the_path_that_a_route_has() {
    let origin = Origin::json(r#"{"word": "hello"}"#);
    let gateway = Gateway::start(&yaml(
        "
        upstreams: {main: {endpoints: [$ORIGIN]}}
        filters:
          small: {compress: {}}
          web: {cors: {origins: [\"http://elsewhere.example\"], methods: [POST]}}
          few: {rate_limit: {key: client_ip, rate: 1000/s, burst: 1000}}
        routes:
          - name: graph
            path: \"/v1/{shop}/**\"
            filters: [small, web, few]
            graphql:
              schema: |
                type Query { greeting: Greeting }
                type Greeting { word: String }
              fields: {Query.greeting: {upstream: main, get: \"/{shop}\"}}
              introspection: true
              get: false
        ",
        &[("$ORIGIN", &origin.address)],
    ));
    let url = format!("http://{}/v1/lamps/graph?of=today", gateway.address);
    let Some(mut browser) = opened(&url) else { return };

    type_into(&mut browser, QUERY, "{ greeting { word } }");
    run(&mut browser, "\"word\": \"hello\"");

    assert!(browser.console.is_empty(), "{:?}", browser.console);
    assert!(browser.requests.iter().all(|asked| *asked == url || asked.starts_with("data:")), "{:?}", browser.requests);
    assert!(origin.received().iter().all(|request| request.line() == "GET /lamps HTTP/1.1"));
}
