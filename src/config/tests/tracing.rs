use super::*;

/// What is wrong with this `tracing`, on the route `a`. It stands on line 7.
fn of_tracing(tracing: &str) -> Vec<String> {
    problems(&format!("{HEAD}routes: [{{name: a, path: /, respond: {{}}}}]\ntelemetry:\n  tracing: {tracing}\n"))
}

#[test]
fn spans_that_are_not_built_in_are_no_unknown_key() {
    let found = of_tracing("{otlp: http://127.0.0.1:4318, sample: 1%, keep: {errors: true, over: 2s}}");

    match cfg!(feature = "otel") {
        true => assert!(found.is_empty(), "{found:#?}"),
        false => assert_located(&found, &[("7:12", "this frontgate was built without `otel`")]),
    }
}

#[test]
#[cfg(feature = "otel")]
fn shares_are_written_in_short_or_by_route() {
    for (written, of_all, of_route) in [
        ("{sample: 2.5%}", Some(0.025), None),
        ("{sample: {otherwise: 1%}}", Some(0.01), None),
        ("{sample: {routes: {a: 100%}, otherwise: 0%}}", Some(0.0), Some(1.0)),
        ("{sample: {routes: {a: 10%}}}", None, Some(0.1)),
    ] {
        let text = format!("{HEAD}routes: [{{name: a, path: /, respond: {{}}}}]\ntelemetry: {{tracing: {written}}}\n");

        let tracing = loaded(&text).config.telemetry.tracing.expect("tracing");

        let sample = tracing.sample.as_ref().expect("a share");
        assert_eq!(sample.otherwise.map(|share| share.0), of_all, "{written}");
        assert_eq!(sample.routes.get("a").map(|share| share.0), of_route, "{written}");
    }
    for empty in ["{}", "{keep: {}}", "{sample: {}}"] {
        assert_eq!(of_tracing(empty), Vec::<String>::new(), "{empty}");
    }
}

#[test]
#[cfg(feature = "otel")]
fn a_collector_is_a_url_of_http_without_a_query() {
    for good in ["http://127.0.0.1:4318", "https://otel.example/otlp/", "\"http://[::1]:4318\"", "http://localhost:4318/v1/traces"] {
        assert_eq!(of_tracing(&format!("{{otlp: {good}}}")), Vec::<String>::new(), "{good}");
    }
    for wrong in ["127.0.0.1:4318", "grpc://a:4317", "http://user:s3cr3t@a", "http://a/?key=s3cr3t", "http://a:0", "\"https://-a_.:1\""] {
        let found = of_tracing(&format!("{{otlp: {wrong}}}"));

        assert_located(&found, &[("7:19", "this is not the URL of a collector")]);
        assert!(found.len() == 1 && !found[0].contains("s3cr3t"), "{found:?}");
    }
}
