//! What the page for graphs shows: its configurations, its answers, its lines to type, its cases.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::compose::mock::ask;
use crate::harness::{Gateway, Process};

/// The blocks of a language on the page.
fn shown(language: &str) -> Vec<String> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/compose/graphql/README.md")).unwrap();
    let opens = format!("```{language}\n");
    page.split(&opens).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn frontgate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_frontgate")).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap()
}

#[test]
fn the_page_for_graphs_says_what_happens() {
    let (blocks, answers) = (shown("yaml"), shown("json"));
    let [whole, slim]: [Value; 2] = [&answers[0], &answers[1]].map(|text| serde_json::from_str(text).unwrap());
    let sh = shown("sh").remove(0);
    let body = sh.lines().find_map(|line| line.split_once("-d '")).expect("a query").1.trim_end().trim_end_matches('\'');
    let services = |text: &str| Gateway::start(&text.replace("127.0.0.1:7001", "127.0.0.1:0"));
    let before = |services: &Gateway| {
        Gateway::start(&blocks[1].replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:7001", &services.address.to_string()))
    };
    let post = |gateway: &Gateway, agent: &str| {
        let headers = [("Content-Type", "application/json"), ("User-Agent", agent), ("Connection", "close")];
        ask(gateway.address, "POST", "/graphql", &headers, Some(body))
    };
    let all = services(&blocks[0]);
    let gateway = before(&all);

    let (desktop, television) = (post(&gateway, "X11"), post(&gateway, "Tizen"));

    assert_eq!((desktop.status, desktop.json(), desktop.header("x-bff-complete")), (200, whole.clone(), Some("true")));
    assert_eq!(desktop.text(), whole.to_string(), "members are in the order of the query");
    assert_eq!((television.status, television.json()), (200, slim));
    let failing = blocks[0].lines().map(|line| match line.contains("name: orders") {
        true => "  - {name: orders, path: /orders, respond: {status: 503, json: {secret: word}}}\n".to_owned(),
        false => format!("{line}\n"),
    });
    let some = services(&failing.collect::<String>());
    let partial = post(&before(&some), "X11");
    assert_eq!(partial.json(), json!({"data": {"user": {"name": "Ada", "city": "London", "orders": []}}}));
    assert_eq!((partial.header("x-bff-complete"), partial.header("x-bff-missing")), (Some("false"), Some("User.orders")));
    assert_eq!(partial.header("cache-control"), Some("no-store"));
}

#[test]
fn the_page_for_graphs_shows_what_its_commands_say() {
    let folder = Process::folder("graphql-page");
    let file = folder.join("frontgate.yaml");
    std::fs::write(&file, &shown("yaml")[1]).unwrap();
    let cases = folder.join("cases.yaml");
    std::fs::write(&cases, &shown("yml")[0]).unwrap();
    let file = file.to_str().unwrap();

    let checked = frontgate(&["check", "-c", file]);
    let planned = frontgate(&["graphql", "plan", "-c", file, "{user(id: 7) {orders {product {title}}}}"]);
    let schema = frontgate(&["graphql", "schema", "-c", file]);
    let explained = frontgate(&["explain", "-c", file, "GET", "http://a/graphql?query=%7Buser(id:7)%7Bname%7D%7D"]);
    let mutation = frontgate(&["explain", "-c", file, "GET", "http://a/graphql?query=mutation%7Brate(product:1,stars:2)%7Baverage%7D%7D"]);
    let tested = frontgate(&["test", cases.to_str().unwrap()]);

    assert!(checked.status.success() && !text(&checked).contains("warning"), "{}", text(&checked));
    let said = text(&planned);
    for words in ["query, ", "3 calls, 3 stages", "stage 1  Query.user", "stage 3  Order.product", "GET catalog /products?ids={each}"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(text(&schema).starts_with("type Query { user(id: ID!): User }\n"), "{}", text(&schema));
    assert!(text(&explained).contains("graph     query, ") && text(&explained).contains("Query.user"), "{}", text(&explained));
    assert!(text(&mutation).contains("405"), "{}", text(&mutation));
    assert!(tested.status.success() && text(&tested).contains("1 passed, 0 failed"), "{}", text(&tested));
}
