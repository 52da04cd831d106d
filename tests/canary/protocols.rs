//! A version is chosen for gRPC calls and WebSockets as for all else.

use http::{HeaderMap, HeaderValue};

use crate::harness::http2::over_http2;
use crate::harness::http2_origin::Http2Origin;
use crate::harness::{Gateway, Log, Origin, until, yaml};
use crate::websocket::socket::{BOTH, ask, echo, frame, origin, run};

/// An upstream of gRPC that says in its trailers who it is and what version it was told.
fn calls(name: &'static str) -> Http2Origin {
    Http2Origin::start(move |mut asked| async move {
        asked.read().await;
        let told = asked.head.headers.get("x-bff-version").cloned().unwrap_or(HeaderValue::from_static("none"));
        let mut stream = asked.head(200, &[("content-type", "application/grpc")], false);
        let trailers = [("grpc-status", HeaderValue::from_static("0")), ("name", HeaderValue::from_static(name)), ("told", told)];
        let _ = stream.send_trailers(HeaderMap::from_iter(trailers.map(|(name, value)| (http::HeaderName::from_static(name), value))));
    })
}

#[test]
fn a_call_of_grpc_gets_a_version_and_gives_way_where_that_cannot_be_reached() {
    let (stable, next) = (calls("stable"), calls("next"));
    let log = Log::new("canary-grpc");
    let configured = yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]}
        upstreams:
          stable: {endpoints: [$STABLE], protocol: h2}
          next: {endpoints: [$NEXT], protocol: h2}
          gone: {endpoints: [$GONE], protocol: h2}
        routes:
          - name: shop
            path: /**
            upstream: stable
            canary:
              - {version: v2, upstream: next, match: {header.X-Test: v2}}
              - {version: v3, upstream: gone, match: {header.X-Beta: \"*\"}, share: 0%}
              - {version: v4, upstream: gone, share: 50%, by: header.X-User}
            canary_options: {client_may_choose: true}
        ",
        &[("$STABLE", &stable.address), ("$NEXT", &next.address), ("$GONE", &super::nobody())],
    );
    let gateway = Gateway::start(&log.of(&configured));

    over_http2(gateway.address, async |mut client| {
        for (fields, status, name, told) in [
            (&[("x-test", "v2")][..], 0, Some("next"), Some("v2")),
            (&[("x-beta", "1")], 14, None, None),
            (&[("x-test", "stable")], 0, Some("stable"), Some("stable")),
        ] {
            let call = crate::grpc::unary(&mut client, "/shop.v1.Shop/Get", fields).await.unwrap();
            assert_eq!((call.grpc_status(), call.says("name"), call.says("told")), (Some(status), name, told), "{fields:?} {call:?}");
        }
        // Half of them are drawn for a version that is not there.
        for user in 0..20 {
            let call = crate::grpc::unary(&mut client, "/shop.v1.Shop/Get", &[("x-user", &user.to_string())]).await.unwrap();
            assert_eq!(
                (call.grpc_status(), call.says("name"), call.says("x-bff-version")),
                (Some(0), Some("stable"), Some("stable")),
                "{call:?}"
            );
        }
    });
    let spilled = || gateway.metric("frontgate_canary_spilled_total{route=\"shop\",version=\"v4\"}");
    assert!((1.0..20.0).contains(&spilled()), "{}", spilled());
    assert_eq!(log.wait_for(23)[0]["version"], "v2");
}

#[test]
fn a_websocket_gets_a_version() {
    let (stable, next) = (Origin::json("{}"), origin(echo));
    let configured = yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0, protocols: [h2, http1]}]}
        upstreams: {stable: {endpoints: [$STABLE]}, next: {endpoints: [$NEXT]}}
        routes:
          - name: shop
            path: /**
            upstream: stable
            canary: [{version: v2, upstream: next, match: {header.X-BFF-Version: v2}}]
            canary_options: {client_may_choose: true}
        ",
        &[("$STABLE", &stable.address), ("$NEXT", &next.address)],
    );
    let gateway = Gateway::start(&configured);

    for over in BOTH {
        run(async {
            let mut asked = ask(gateway.address, over, "/socket", &[("x-bff-version", "v2")]).await;
            assert!(matches!(asked.status, 101 | 200), "{over:?} {asked:?}", asked = asked.fields);
            assert_eq!(asked.fields["x-bff-version"], "v2", "{over:?}");
            let hello = frame(1, true, b"hello");
            asked.socket.send(&hello).await;
            assert_eq!(asked.socket.hear(hello.len()).await, hello, "{over:?}");
        });
    }
    assert!(next.received().iter().all(|request| request.header("x-bff-version") == ["v2"]));
    assert_eq!((next.received().len(), stable.received().len()), (2, 0));
    let series = |code: u16| format!("frontgate_canary_requests_total{{route=\"shop\",version=\"v2\",code=\"{code}\"}}");
    until("the ends of both", || gateway.metric(&series(101)) + gateway.metric(&series(200)) == 2.0);
}
