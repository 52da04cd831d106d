//! Drills: faults that deadlines, retries, circuit breakers and fallbacks take for real, and how they end.

use std::time::{Duration, Instant, SystemTime};

use frontgate_filters::words::moment::Moment;

use crate::harness::http2::over_http2;
use crate::harness::http2_origin::Http2Origin;
use crate::harness::{Gateway, Log, Origin, Process, exchange, get, operate, until, yaml};
use crate::websocket::socket::{BOTH, ask, echo, frame, origin, run};

/// A moment so many seconds from now.
fn within(seconds: u64) -> Moment {
    Moment(SystemTime::now() + Duration::from_secs(seconds))
}

/// One route over this origin, with this drill before whatever else its filters are; `upstream` and `filters` are more keys of theirs.
fn text(origin: &Origin, drill: &str, upstream: &str, filters: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          admin: 127.0.0.1:0
        upstreams:
          main: {endpoints: [$ORIGIN]$UPSTREAM}
          other: {endpoints: [$ORIGIN]}
        filters:
          drill:
            fault:
              until: $UNTIL
              max_share: 100%
              i_know: true
              $DRILL
          guard:
            circuit_breaker: {consecutive: 3, open_for: 10m, max_open_for: 10m, fallback: [{upstream: other}]}
        routes:
          - {name: all, path: /**, upstream: main, filters: [drill$FILTERS]}
          - {name: gone, path: /gone, redirect: {to: /}, filters: [drill]}
        ",
        &[("$ORIGIN", &origin.address), ("$UNTIL", &within(3600)), ("$DRILL", &drill), ("$UPSTREAM", &upstream), ("$FILTERS", &filters)],
    )
}

fn injected(gateway: &Gateway, kind: &str) -> f64 {
    gateway.metric(&format!("frontgate_fault_injected_total{{filter=\"drill\",kind=\"{kind}\"}}"))
}

#[test]
fn retries_get_through_aborts_and_each_attempt_is_drawn_for_itself() {
    let origin = Origin::json("{}");
    let drill = "rules: [{abort: {status: 503}, share: 30%}]";
    let gateway = Gateway::start(&text(&origin, drill, ", retry: {attempts: 10, when: [503], budget: 100%}", ""));

    let answers: Vec<u16> = (0..100).map(|_| get(gateway.address, "/").status).collect();

    // One in 170,000 meets ten aborts.
    assert!(answers.iter().filter(|status| **status == 200).count() >= 99, "{answers:?}");
    let attempts = |result: &str| gateway.metric(&format!("frontgate_upstream_attempts_total{{upstream=\"main\",result=\"{result}\"}}"));
    until("all to be counted", || attempts("ok") >= 100.0 + injected(&gateway, "abort") - 2.0);
    assert!((10.0..120.0).contains(&injected(&gateway, "abort")), "{}", injected(&gateway, "abort"));
    assert_eq!(origin.received().len(), answers.iter().filter(|status| **status == 200).count(), "who is aborted is not asked");
}

#[test]
fn an_abort_opens_the_circuit_and_the_fallback_answers_which_the_drill_leaves_alone() {
    let origin = Origin::json("{\"from\": \"other\"}");
    let log = Log::new("drill-breaker");
    let gateway = Gateway::start(&log.of(&text(&origin, "rules: [{abort: {status: 500}, share: 100%}]", "", ", guard")));

    for _ in 0..3 {
        let answer = get(gateway.address, "/");
        assert_eq!((answer.status, answer.header("x-bff-fallback")), (200, Some("upstream")), "{}", answer.head);
    }
    gateway.comes_to("frontgate_circuit_state{filter=\"guard\",upstream=\"main\"}", 2.0);
    assert_eq!(get(gateway.address, "/").status, 200);

    gateway.comes_to("frontgate_fault_injected_total{filter=\"drill\",kind=\"abort\"}", 3.0);
    let lines = log.wait_for(4);
    assert_eq!(lines[..3].iter().map(|line| line["flags"].as_str()).collect::<Vec<_>>(), [Some("FI"); 3]);
    assert_eq!(lines[3]["flags"], "UO", "the open circuit kept it from the drill");
}

#[test]
fn a_delay_meets_the_deadline_of_the_upstream_and_ejects_its_endpoint() {
    let (origin, second) = (Origin::json("{}"), Origin::json("{}"));
    let upstream = ", timeouts: {first_byte: 200ms}, outlier: {consecutive: 2, eject_for: 10m, max_ejected: 50%}";
    let log = Log::new("drill-delay");
    let drill = "rules: [{delay: 2m, share: 100%}]";
    let both = format!("main: {{endpoints: [{}, ", second.address);
    let gateway = Gateway::start(&log.of(&text(&origin, drill, upstream, "").replace("main: {endpoints: [", &both)));

    until("an endpoint to be ejected", || {
        get(gateway.address, "/").is_problem(504);
        gateway.metric("frontgate_upstream_endpoints{upstream=\"main\",state=\"ejected\"}") == 1.0
    });

    assert_eq!(log.wait_for(2)[0]["flags"], "DI");
    assert!(origin.received().len() + second.received().len() >= 2, "the upstream was asked: it is its answer that is late");
    gateway.comes_to("frontgate_fault_active{filter=\"drill\"}", 0.0);
}

#[test]
fn a_delay_that_nobody_minds_is_added_to_the_answer() {
    let origin = Origin::json("{\"a\":1}");
    let gateway = Gateway::start(&text(&origin, "rules: [{delay: {between: [150ms, 160ms]}, share: 100%}]", "", ""));

    for _ in 0..2 {
        let began = Instant::now();
        let answer = get(gateway.address, "/");
        assert_eq!((answer.status, answer.text().as_str()), (200, "{\"a\":1}"));
        assert!(began.elapsed() >= Duration::from_millis(150), "{:?}", began.elapsed());
    }
    gateway.comes_to("frontgate_fault_injected_total{filter=\"drill\",kind=\"delay\"}", 2.0);
}

#[test]
fn what_happens_at_the_client_is_nobodys_failure() {
    let origin = Origin::json("{}");
    let upstream = ", timeouts: {first_byte: 100ms}, retry: {attempts: 3, when: [429, timeout]}";
    let aborts =
        Gateway::start(&text(&origin, "rules: [{abort: {status: 429, retry_after: 7s}, share: 100%, at: client}]", upstream, ", guard"));
    for _ in 0..4 {
        let answer = get(aborts.address, "/");
        assert_eq!(answer.is_problem(429).header("retry-after"), Some("7"));
        assert_eq!(answer.json()["code"], "fault_injected");
    }
    assert_eq!((origin.received().len(), aborts.metric("frontgate_circuit_state{filter=\"guard\",upstream=\"main\"}")), (0, 0.0));

    let delays = Gateway::start(&text(&origin, "rules: [{delay: 300ms, share: 100%, at: client}]", upstream, ", guard"));
    let began = Instant::now();
    let answer = get(delays.address, "/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"), "no deadline of the upstream's sees it");
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    assert_eq!(origin.received().len(), 1);
    assert_eq!(get(delays.address, "/gone").status, 308, "a redirect is never hit");
    delays.comes_to("frontgate_fault_injected_total{filter=\"drill\",kind=\"delay\"}", 1.0);
}

#[test]
fn a_body_is_taken_and_a_connection_kept_around_an_abort() {
    let origin = Origin::json("{}");
    let gateway = Gateway::start(&text(&origin, "match: {header.X-Chaos: \"on\"}\nrules: [{abort: {status: 503}, share: 100%}]", "", ""));
    let mut stream = crate::harness::raw(gateway.address);
    let mut ask = |chaos: &str| {
        let head = format!("POST / HTTP/1.1\r\nHost: a.example\r\nX-Chaos: {chaos}\r\nContent-Length: 5\r\n\r\nhello");
        std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
        crate::harness::client::read_reply(&mut stream, false).expect("an answer")
    };

    assert_eq!([ask("on").status, ask("off").status, ask("on").status], [503, 200, 503]);

    assert_eq!(origin.last().body, b"hello");
    let head = exchange(gateway.address, b"HEAD / HTTP/1.1\r\nHost: a.example\r\nX-Chaos: on\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(head.status, 503);
}

#[test]
fn a_grpc_call_ends_with_the_status_that_was_drawn_and_counts_as_one_that_failed() {
    let upstream = Http2Origin::start(|mut asked| async move {
        asked.read().await;
        let mut stream = asked.head(200, &[("content-type", "application/grpc")], false);
        let _ = stream.send_trailers(http::HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), 0.into())]));
    });
    let configured = |at: &str| {
        yaml(
            "
            server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]}
            upstreams: {calls: {endpoints: [$ORIGIN], protocol: h2}}
            filters:
              drill: {fault: {until: $UNTIL, max_share: 100%, i_know: true, rules: [{abort: {grpc_status: UNAVAILABLE}, share: 100%, at: $AT}]}}
              guard: {circuit_breaker: {consecutive: 2, open_for: 10m, max_open_for: 10m}}
            routes: [{name: all, path: /**, upstream: calls, filters: [drill, guard]}]
            ",
            &[("$ORIGIN", &upstream.address), ("$UNTIL", &within(3600)), ("$AT", &at)],
        )
    };
    for (at, state) in [("upstream", 2.0), ("client", 0.0)] {
        let gateway = Gateway::start(&configured(at));
        over_http2(gateway.address, async |mut client| {
            for _ in 0..2 {
                let call = crate::grpc::unary(&mut client, "/shop.v1.Shop/Get", &[]).await.unwrap();
                assert_eq!(call.grpc_status(), Some(14), "{at}: {call:?}");
            }
        });
        gateway.comes_to("frontgate_circuit_state{filter=\"guard\",upstream=\"calls\"}", state);
    }
    assert_eq!(upstream.received().len(), 0);
}

#[test]
fn calls_that_an_answer_is_put_together_from_are_hit_apart() {
    let origin = Origin::json("{\"a\":1}");
    let gateway = Gateway::start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], trusted_proxies: [127.0.0.0/8]}
        upstreams:
          main: {endpoints: [$ORIGIN], retry: {attempts: 10, when: [503], budget: 100%}}
          late: {endpoints: [$ORIGIN], timeouts: {first_byte: 200ms}}
        filters:
          drill: {fault: {until: $UNTIL, max_share: 30%, rules: [{abort: {status: 503}, share: 30%}]}}
          slow: {fault: {until: $UNTIL, max_share: 100%, i_know: true, rules: [{delay: 2m, share: 100%}]}}
          asked: {fault: {until: $UNTIL, trusted_header: X-Fault, rules: [{abort: {status: 500}, share: 0.00001%}]}}
        routes:
          - name: retried
            path: /retried
            aggregate: {calls: {one: {upstream: main, get: /}, two: {upstream: main, get: /}}}
            filters: [drill]
          - name: slow
            path: /slow
            aggregate: {calls: {one: {upstream: late, get: /}}}
            filters: [slow]
          - name: asked
            path: /asked
            aggregate: {calls: {one: {upstream: late, get: /}}}
            filters: [asked]
        ",
        &[("$ORIGIN", &origin.address), ("$UNTIL", &within(3600))],
    ));

    for _ in 0..20 {
        let answer = get(gateway.address, "/retried");
        assert_eq!((answer.status, answer.json()["one"]["a"].as_u64()), (200, Some(1)), "{}", answer.text());
    }
    assert!(injected(&gateway, "abort") >= 1.0);
    get(gateway.address, "/slow").is_problem(504);
    let ask = |fault: &str| {
        let head = format!("GET /asked HTTP/1.1\r\nHost: a.example\r\nX-Fault: {fault}\r\nConnection: close\r\n\r\n");
        exchange(gateway.address, head.as_bytes()).expect("an answer").status
    };
    assert_eq!([ask("abort=503"), ask("none")], [502, 200]);
    assert!(origin.received().iter().all(|request| request.header("x-fault").is_empty()));
}

#[test]
fn a_trusted_proxy_asks_for_a_fault_and_is_told_of_it() {
    let origin = Origin::json("{}");
    let drill = "trusted_header: X-Fault\nrules: [{abort: {status: 500}, share: 0.00001%}]";
    let configured = text(&origin, drill, "", "");
    let ask = |gateway: &Gateway| {
        exchange(gateway.address, b"GET / HTTP/1.1\r\nHost: a.example\r\nX-Fault: abort=418\r\nConnection: close\r\n\r\n")
            .expect("an answer")
    };

    let strangers = Gateway::start(&configured);
    assert_eq!(ask(&strangers).status, 200);
    assert!(origin.last().header("x-fault").is_empty());
    let trusting = Gateway::start(&configured.replace("admin: 127.0.0.1:0", "trusted_proxies: [127.0.0.0/8]"));
    let answer = ask(&trusting);
    assert_eq!((answer.status, answer.header("x-bff-fault")), (418, Some("abort")), "{}", answer.head);
    assert_eq!(get(trusting.address, "/").header("x-bff-fault"), None);
}

#[test]
fn a_websocket_is_late_or_refused_and_one_all_the_same() {
    let upstream = origin(echo);
    let drill = "match: {header.X-Chaos: late}\nrules: [{delay: 200ms, share: 100%}]";
    let late = text(&upstream, drill, "", "").replace("[{address: 127.0.0.1:0}]", "[{address: 127.0.0.1:0, protocols: [h2, http1]}]");
    let gateway = Gateway::start(&late);
    let refusing = Gateway::start(&late.replace("{delay: 200ms,", "{abort: {status: 503},"));

    for over in BOTH {
        run(async {
            let began = Instant::now();
            let mut asked = ask(gateway.address, over, "/socket", &[("x-chaos", "late")]).await;
            assert!(matches!(asked.status, 101 | 200) && began.elapsed() >= Duration::from_millis(200), "{over:?} {:?}", asked.fields);
            let hello = frame(1, true, b"hello");
            asked.socket.send(&hello).await;
            assert_eq!(asked.socket.hear(hello.len()).await, hello, "{over:?}");
            let asked = ask(refusing.address, over, "/socket", &[("x-chaos", "late")]).await;
            assert_eq!(asked.status, 503, "{over:?}");
        });
    }
    assert_eq!(upstream.received().len(), 2);
}

#[test]
fn operators_stop_all_drills_at_once_and_a_reload_does_not_start_them() {
    let origin = Origin::json("{}");
    let configured = text(&origin, "rules: [{abort: {status: 503}, share: 100%}]", "", "");
    let mut process = Process::start("drills", &configured);
    let address = process.address;
    let admin = process.admin.to_string();
    let fault = |act: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_frontgate"));
        let output = command.args(["fault", act, "--admin", &admin]).current_dir("/").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(get(address, "/").status, 503);
    let told = fault("status");
    assert!(told.contains("running") && told.contains("abort 503 for 100% at the upstream"), "{told}");

    let told = fault("stop");
    assert!(told.contains("stopped") && told.contains("An operator has stopped all drills."), "{told}");
    assert_eq!(get(address, "/").status, 200);
    // One that is unchanged, and one that is another.
    for (status, share) in [("503", "100%"), ("502", "99%")] {
        process.write(&configured.replace("status: 503", &format!("status: {status}")).replace("share: 100%", &format!("share: {share}")));
        assert_eq!(process.ask("POST", "/-/reload").status, 200);
        assert_eq!(get(address, "/").status, 200);
    }
    assert!(process.said().contains("stopped all drills"), "{}", process.said());

    fault("start");
    until("a fault", || get(address, "/").status == 502);
    process.signal("INT");
    process.end();
}

#[test]
fn a_drill_ends_by_itself_and_check_says_so() {
    let origin = Origin::json("{}");
    let configured = text(&origin, "rules: [{abort: {status: 503}, share: 100%}]", "", "");
    let until_line = configured.lines().find(|line| line.contains("until:")).unwrap().trim().to_owned();

    let soon = Gateway::start(&configured.replace(&until_line, &format!("until: {}", within(8))));
    assert_eq!(get(soon.address, "/").status, 503);
    until("the end of the drill", || get(soon.address, "/").status == 200);

    let over = frontgate::config::load_text("over.yaml", &configured.replace(&until_line, "until: 2026-01-01T00:00:00Z"));
    assert!(over.is_ok(), "it can be used");
    let far = frontgate::config::load_text("far.yaml", &configured.replace(&until_line, &format!("until: {}", within(100_000))));
    let problems = far.expect_err("it is refused").render(false);
    assert!(problems.contains("a drill ends within 24 hours"), "{problems}");
}

#[test]
fn a_drill_stops_by_itself_at_too_many_errors() {
    let origin = Origin::json("{}");
    let drill = "stop_when: {error_ratio: 50%, over: 10m}\nrules: [{abort: {status: 503}, share: 100%}]";
    let gateway = Gateway::start(&text(&origin, drill, "", ""));
    let state = || operate(gateway.running.admin().unwrap(), "GET", "/-/fault").json()["drills"][0]["state"].clone();

    let statuses: Vec<u16> = (0..25).map(|_| get(gateway.address, "/").status).collect();

    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 20, "{statuses:?}");
    assert_eq!((statuses[24], state()), (200, "tripped".into()));
}
