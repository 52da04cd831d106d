//! What the demo tells to try that takes a process: an order in the middle of which it is killed.

use crate::compose::mock::ask;
use crate::harness::{Process, until};

const CHECKOUT: &str = "/api/v1/checkout";

#[test]
fn the_demo_that_is_killed_in_the_middle_of_an_order_ends_it_when_it_is_started_again() {
    let mut demo = Process::demo("demo-killed");
    let key = [("Idempotency-Key", "order-3"), ("Content-Type", "application/json")];
    let begun = ask(demo.address, "POST", CHECKOUT, &key, Some(r#"{"sku":"lamp-7","card":"slow"}"#));
    assert_eq!(begun.status, 202, "{}", begun.text());
    assert_eq!(ask(demo.address, "GET", CHECKOUT, &key, None).status, 202);

    demo.signal("KILL");
    demo.end();
    demo.start_again();

    // The bank takes its ten seconds once more: nobody asks for the order, and it is ended all the same.
    until("the order to be ended", || {
        demo.ask("GET", "/metrics").text().contains("frontgate_saga_ended_total{route=\"checkout\",state=\"done\"} 1")
    });
    let ended = ask(demo.address, "GET", CHECKOUT, &key, None);
    assert_eq!((ended.status, ended.json()["state"].as_str()), (200, Some("done")), "{}", ended.text());
    let charged = ask(demo.address, "GET", "/demo/bank", &[], None);
    assert_eq!(charged.json().as_array().map(Vec::len), Some(1), "{}", charged.text());
    // What was reserved before it was killed is reserved.
    let stock = ask(demo.address, "GET", "/demo/stock", &[], None);
    assert_eq!(stock.json().as_array().map(Vec::len), Some(1), "{}", stock.text());
    assert_eq!(stock.json()[0]["state"], "done", "{}", stock.text());
}
