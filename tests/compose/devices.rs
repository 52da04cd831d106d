//! The class of a client's device is known wherever something refers to it, and nowhere else is it found out.

use serde_json::json;

use super::mock::{self, ask};
use super::rules::Scene;
use crate::harness::{Gateway, Log, yaml};

const TELEVISION: (&str, &str) = ("User-Agent", "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0)");
const PHONE: (&str, &str) = ("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile");

#[test]
fn a_call_that_refers_to_the_device_has_it_though_nothing_else_does() {
    for (name, call) in [
        ("parameter", "x: {upstream: a, get: '/x?class={device}'}"),
        ("header", "x: {upstream: a, get: /x, headers: {X-Class: '{device}'}}"),
        ("body", "x: {upstream: a, post: /x, body: {class: '{device}'}}"),
        ("when", "y: {upstream: a, get: /y}, x: {upstream: a, get: '/x?class=smart_tv', when: {device: smart_tv}}"),
        ("answer", "x: {upstream: a, get: /x}}, answer: {class: '{device}', x: '{x}'"),
    ] {
        let routes = format!("- {{name: it, path: /it, aggregate: {{calls: {{{call}}}}}}}");
        let scene = Scene::start(&format!("device-{name}"), "", &routes, |_, stream| mock::answer(stream, 200, &json!({})));

        let answer = ask(scene.process.address, "GET", "/it", &[TELEVISION], None);

        let asked: String =
            scene.origin.received().iter().map(|request| format!("{}{}", request.head, String::from_utf8_lossy(&request.body))).collect();
        assert!(format!("{asked}{}", answer.text()).contains("smart_tv"), "{name}: {asked}{}", answer.text());
        if name == "when" {
            ask(scene.process.address, "GET", "/it", &[PHONE], None);
            assert_eq!(scene.asked().iter().filter(|target| target.starts_with("/x")).count(), 1, "a phone is no television");
        }
    }
}

#[cfg(feature = "saga")]
#[test]
fn a_saga_that_refers_to_the_device_has_it_in_its_steps_and_in_its_key() {
    let routes = "
- name: it
  path: /it
  methods: [POST, GET]
  saga: {key: [device, header.Idempotency-Key], steps: {x: {upstream: a, post: '/x?class={device}'}}}
";
    let server = std::env::temp_dir().join(format!("frontgate-device-saga-{}", std::process::id()));
    let origin = crate::harness::Origin::start(|_, stream| mock::answer(stream, 200, &json!({})));
    let text = yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], admin: 127.0.0.1:0, state_dir: $STATE}
        upstreams: {a: {endpoints: [$ORIGIN]}}
        routes:
          $ROUTES
        ",
        &[("$STATE", &server.display()), ("$ORIGIN", &origin.address), ("$ROUTES", &routes.trim_matches('\n'))],
    );
    let process = crate::harness::Process::start("device-saga", &text);

    let begun = ask(process.address, "POST", "/it", &[TELEVISION, ("Idempotency-Key", "k")], Some("{}"));

    assert_eq!(begun.status, 200, "{}", begun.text());
    assert!(origin.received()[0].line().contains("class=smart_tv"), "{}", origin.received()[0].line());
    drop(process);
    let _ = std::fs::remove_dir_all(server);
}

#[test]
fn lines_of_the_log_are_chosen_by_the_device_though_nothing_else_asks_for_it() {
    let log = Log::new("device-lines");
    let text = "
        server: {listeners: [{address: 127.0.0.1:0}]}
        routes: [{name: it, path: '/it/{who}', respond: {status: 200}}]
        telemetry: {access_log: \"off\"}
        ";
    let text = log.of(&yaml(text, &[])).replace("access_log: {to:", "access_log: {when: \"device=smart_tv or status>=400\", to:");
    let gateway = Gateway::start(&text);

    ask(gateway.address, "GET", "/it/phone", &[PHONE], None);
    ask(gateway.address, "GET", "/it/television", &[TELEVISION], None);
    // The last one has a line in any case.
    ask(gateway.address, "GET", "/elsewhere", &[PHONE], None);

    // Each line comes in its own time.
    let mut paths: Vec<String> = log.wait_for(2).iter().map(|line| line["path"].as_str().unwrap_or_default().to_owned()).collect();
    paths.sort();
    assert_eq!(paths, ["/elsewhere", "/it/television"]);
}
