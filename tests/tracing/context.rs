//! What comes in of a trace, and what goes out.

use super::*;

/// Values of a header that the origin got last.
fn seen(origin: &Origin, name: &str) -> Vec<String> {
    origin.last().header(name).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_trusted_proxy_s_trace_goes_on() {
    let (origin, collector) = (origin(), Collector::start());
    let gateway = gateway("goes-on", origin.address, &collector.0.address, "sample: 0%", &[SOON]);

    let fields = format!("{}tracestate: vendor=1, t@x=2\r\nbaggage: user=1, bad member,a=b;p\r\n", called("03"));
    assert_eq!(ask(gateway.address, "/shop/1", &fields).status, 200);
    let spans = collector.wait_for(2);

    let (server, client) = (spans.iter().find(|span| span.is_server()).unwrap(), spans.iter().find(|span| span.kind == 3).unwrap());
    assert_eq!((server.trace.as_str(), server.parent.as_str()), (TRACE, CALLER));
    assert_eq!((server.flags, client.flags), (0x303, 0x103), "a parent elsewhere, and one here");
    assert_eq!(seen(&origin, "traceparent"), [format!("00-{TRACE}-{}-03", client.id)]);
    assert_eq!(seen(&origin, "tracestate"), ["vendor=1,t@x=2"]);
    assert_eq!(seen(&origin, "baggage"), ["user=1,a=b;p"]);
}

#[test]
fn a_stranger_s_is_removed_in_every_spelling() {
    let (origin, collector) = (origin(), Collector::start());
    let text =
        configuration(origin.address, &collector.0.address, "sample: 100%").replace("trusted_proxies: [127.0.0.1]", "trusted_proxies: []");
    let gateway = Process::start_in("tracing-stranger", &text, &[SOON]);

    let fields = format!("{}tracestate: a=1\r\nbaggage: a=b\r\nBAGGAGE: c=d\r\n", called("00"));
    assert_eq!(ask(gateway.address, "/shop/1", &fields).status, 200);
    let spans = collector.wait_for(2);

    assert!(spans.iter().all(|span| span.trace != TRACE && span.parent != CALLER), "{spans:#?}");
    assert!(seen(&origin, "traceparent")[0].ends_with("-01"));
    assert_eq!((seen(&origin, "tracestate").len(), seen(&origin, "baggage").len()), (0, 0));
}

#[test]
fn what_is_malformed_is_replaced() {
    let (origin, collector) = (origin(), Collector::start());
    let gateway = gateway("malformed", origin.address, &collector.0.address, "", &[SOON]);
    let zeros = format!("traceparent: 00-{}-{CALLER}-01\r\n", "0".repeat(32));
    let members = |count: usize| (0..count).map(|number| format!("m{number}=1")).collect::<Vec<_>>().join(",");

    for fields in [
        "traceparent: x\r\n".to_owned(),
        zeros,
        called("01").repeat(2),
        called("01").replace("00-", "ff-"),
        called("01").to_uppercase().replace("TRACEPARENT", "traceparent"),
    ] {
        assert_eq!(ask(gateway.address, "/shop/1", &format!("{fields}tracestate: a=1\r\n")).status, 200);
        let parent = &seen(&origin, "traceparent")[0];
        assert!(seen(&origin, "traceparent").len() == 1 && parent.len() == 55 && !parent.contains(TRACE), "{fields}: {parent}");
        assert_eq!(seen(&origin, "tracestate").len(), 0, "what belongs to another trace says nothing of this one: {fields}");
    }
    let asked = |more: &str| ask(gateway.address, "/shop/1", &format!("{}{more}", called("01"))).status;
    assert_eq!(asked(&format!("tracestate: {}\r\ntracestate: {}\r\n", members(30), members(2))), 200);
    assert_eq!(seen(&origin, "tracestate")[0].split(',').count(), 32);
    assert_eq!(asked(&format!("tracestate: {}\r\n", members(33))), 200);
    assert_eq!(seen(&origin, "tracestate").len(), 0);
    assert_eq!(asked(&format!("baggage: {}\r\n", members(100))), 200);
    assert_eq!(seen(&origin, "baggage")[0].split(',').count(), 64);
    // A version that is not known yet is read as far as this one goes.
    assert_eq!(ask(gateway.address, "/shop/1", &called("01").replace("00-", "01-").replace("\r\n", "-more\r\n")).status, 200);
    assert!(seen(&origin, "traceparent")[0].starts_with(&format!("00-{TRACE}-")));
}

#[test]
fn an_identifier_that_a_proxy_chose_chooses_no_trace() {
    let (origin, collector) = (origin(), Collector::start());
    let gateway = gateway("chosen", origin.address, &collector.0.address, "", &[SOON]);
    let id = "ffffffff-ffff-7fff-bfff-ffffffffffff";

    let reply = ask(gateway.address, "/shop/1", &format!("X-Request-Id: {id}\r\n"));
    let spans = collector.wait_for(2);

    assert_eq!(reply.header("x-request-id"), Some(id));
    assert!(spans.iter().all(|span| span.trace != id.replace('-', "")), "{spans:#?}");
    assert!(spans.iter().any(|span| span.get("frontgate.request_id") == id));
}

#[test]
fn without_tracing_nothing_is_added_and_the_log_has_a_trace_all_the_same() {
    let (origin, log) = (origin(), crate::harness::Log::new("tracing-without"));
    let text = log.of(&crate::harness::gateway::simple(origin.address, "trusted_proxies: [127.0.0.1]", ""));
    let gateway = crate::harness::Gateway::start(&text);

    let plain = ask(gateway.address, "/a", "");
    assert_eq!(seen(&origin, "traceparent").len(), 0);
    ask(gateway.address, "/b", &format!("{}tracestate: a=1\r\nbaggage: c=d\r\n", called("00")));
    let passed = ["traceparent", "tracestate", "baggage"].map(|name| seen(&origin, name).concat());
    let lines = log.wait_for(2);

    assert_eq!(passed, [format!("00-{TRACE}-{CALLER}-00"), "a=1".to_owned(), "c=d".to_owned()]);
    assert_eq!(lines[0]["trace_id"], plain.header("x-request-id").unwrap().replace('-', ""));
    assert_eq!(lines[1]["trace_id"], TRACE);
    assert!(!gateway.running.scrape().contains("frontgate_spans_"));
}
