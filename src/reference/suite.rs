//! The page of files of cases for `frontgate test`, from their schema.

use serde_json::Value;

use super::configuration::{self, Reader};

const ABOUT: &str = "`frontgate test FILE…` plays each case of a file through the gateway's own engine, offline: the configuration is compiled as \
`run` compiles it, and routing, filters, retries, circuits, fallbacks, trimming and compression are those that serve. A case has a gateway of its \
own, so that no case sees another one's tokens or circuits; its `steps` share one. [An example](../frontgate-test.yaml) shows most of it in use, \
[its schema](../frontgate-test.schema.json) helps editors.

What upstreams answer is looked up from the closest to the farthest: the step's `upstreams`, its `upstream`, the case's `upstreams`, its \
`upstream`, the file's `upstreams`; else 200 without a body. What `calls` say of a call of an aggregate comes before all of these. Of a list \
each attempt takes the next answer, and the last one stays.

Time passes only where a step says `after`, or an upstream is `slow`: at once, for limits, circuits, ejections, cached answers and deadlines \
alike. What is written with a date goes by the clock on the wall: the `exp` of a token, the signed cookies of a canary.

A test cannot see what is not in the configuration or not of one request: the bytes of a connection and how clients are kept waiting (listeners, \
PROXY headers, TLS handshakes and their certificates, HTTP/2's frames, WebSockets and other tunnels, `limits.connections`), whether real upstreams \
are healthy (probes are not made, every endpoint is taken for healthy until requests to it fail), how names are resolved and discovery goes on (a \
name is one endpoint at an address of 198.18.0.0/15, endpoints of a file are read, others are one endpoint), key sets behind a URL (write \
`claims`, or `optional`), the files of certificates, copies for mirrors, sagas (a request that comes through to one fails its case, and says so), overload and what it sheds, the access log and spans, reloads, and what is \
drawn by chance: `balance: random`, shares of requests that nothing in `by` tells apart.

A limit by `client_ip` is estimated, as it is where it serves (`rate_limit.exact`): a burst begins to come back when the window \
is over in which it was made, and all of it is back after twice the time that its rate says, at the latest. A case that is about the moment writes \
`exact: true`, or waits that long.";

/// The page.
pub(super) fn page() -> String {
    let schema = crate::suite::schema();
    let root = schema.as_object().expect("a schema is an object");
    let definitions = root["$defs"].as_object().expect("with definitions");
    let reader = Reader { definitions };
    let mut page = format!(
        "# Cases for `frontgate test`\n\n{}\n\n{ABOUT}\n\n## A file\n\n{}",
        super::MADE,
        reader.own(root, &["cases", "upstreams", "calls"])
    );
    let parts = [
        ("A case", "cases[]", "Case", &["steps", "request", "expect", "upstream", "upstreams", "calls"][..]),
        ("A step", "cases[].steps[]", "Step", &["request", "expect", "upstream", "upstreams", "calls"]),
        ("A request", "request", "Request", &[]),
        ("An answer of an upstream", "upstream", "Answer", &[]),
        ("What is expected", "expect", "Expect", &["sent", "calls"]),
        ("What an upstream is expected to be sent", "expect.sent`, `expect.calls.NAME", "Sent", &[]),
    ];
    for (title, key, name, closed) in parts {
        let of = definitions[name].as_object().expect("each is a schema");
        let about = of.get("description").and_then(Value::as_str).unwrap_or_default();
        page +=
            &format!("\n## {title}\n\n{} (`{key}`)\n\n{}", about.split_whitespace().collect::<Vec<_>>().join(" "), reader.own(of, closed));
    }
    page
}

#[test]
fn every_key_of_a_case_is_on_the_page_and_has_its_words() {
    let page = page();
    let schema = crate::suite::schema();

    let definitions = schema["$defs"].as_object().expect("with definitions").values().chain(std::iter::once(&schema));
    let names: Vec<&String> = definitions.filter_map(|of| of["properties"].as_object()).flat_map(|keys| keys.keys()).collect();

    for name in &names {
        let is_there = [format!("| `{name}`"), format!(".{name}`")].iter().any(|text| page.contains(text));
        assert!(is_there, "`{name}` is in the schema and not on the page");
    }
    let speechless: Vec<&str> = page.lines().filter(|line| line.starts_with("| `") && line.ends_with("|  |")).collect();
    assert!(speechless.is_empty() && names.len() > 40, "no words: {speechless:#?}");
    assert!(configuration::page().len() > page.len());
}
