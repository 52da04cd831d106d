//! What makes spans under one configuration.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use frontgate_filters::grpc::Status;
use frontgate_filters::words::url::Url;

use super::export::{Exporter, Terms};
use super::protobuf::{Value, attribute};
use super::sampler::{Sampler, Threshold};
use super::{Ended, environment, span};
use crate::config::model::{Config, Keep};
use crate::telemetry::Metrics;
use crate::telemetry::trace::Parent;
use crate::upstream::Documents;

/// What makes spans.
pub(crate) struct Tracing {
    sampler: Sampler,
    keep: Keep,
    exporter: Arc<Exporter>,
}

impl Tracing {
    /// Compiles what was checked; nothing where no spans are to be made, or where nothing is ever sent. What was made before goes on where it is
    /// sent as before.
    pub(crate) fn compile(
        config: &Config,
        before: Option<&Self>,
        metrics: &Metrics,
        documents: Option<&Documents>,
    ) -> Result<Option<Arc<Self>>, String> {
        let (Some(written), Some(documents)) = (&config.telemetry.tracing, documents) else { return Ok(None) };
        let variables = environment::read(&|name| std::env::var(name).ok());
        variables.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        if variables.disabled {
            log::info!("no spans are made: OTEL_SDK_DISABLED or OTEL_TRACES_EXPORTER says so");
            return Ok(None);
        }
        let target = written.otlp.as_ref().map_or(variables.target, |url| environment::target(url));
        let terms = Terms {
            url: Url::parse(&target).map_err(|why| format!("telemetry.tracing.otlp: {why}"))?,
            headers: variables.headers,
            resource: resource(variables.service.as_deref(), &variables.resource),
            timeout: variables.timeout,
            patience: variables.patience,
            delay: variables.delay,
            most: variables.most,
            batch: variables.batch,
        };
        let (follows, usual) = variables.sampler;
        let sample = written.sample.as_ref();
        let otherwise = sample.and_then(|sample| sample.otherwise).map_or(usual, |share| share.0);
        let of_route = |name: &str| sample.and_then(|sample| sample.routes.get(name)).map_or(otherwise, |share| share.0);
        let sampler = Sampler {
            // A share that is written is one of the traces that begin here.
            follows: follows || sample.is_some(),
            unmatched: Threshold::of(otherwise),
            routes: config.routes.iter().map(|route| Threshold::of(of_route(&route.name))).collect(),
        };
        let kept = before.map(|before| &before.exporter).filter(|exporter| exporter.has(&terms)).cloned();
        let exporter = kept.unwrap_or_else(|| Arc::new(Exporter::new(terms, metrics, documents.dns().clone())));
        Ok(Some(Arc::new(Self { sampler, keep: written.keep.clone(), exporter })))
    }

    /// Begins to send, on this runtime.
    pub(crate) fn start(&self, runtime: &tokio::runtime::Handle) {
        self.exporter.start(runtime);
    }

    /// Whether it sends from the pool of this name.
    pub(crate) fn asks(&self, pool: &str) -> bool {
        self.exporter.pool_name() == pool
    }

    /// Whether the spans of a request are recorded, on the route of this index, in this trace.
    pub(crate) fn samples(&self, route: Option<usize>, parent: Option<Parent>, trace: u128) -> bool {
        self.sampler.samples(route, parent, trace)
    }

    /// Why a request is told of whose spans are not recorded, where it is: it has failed, or `took` too long.
    pub(crate) fn keeps(&self, status: u16, call: Option<Status>, broke: bool, took: Option<Duration>) -> Option<&'static str> {
        if self.keep.errors && (status >= 500 || broke || call.is_some_and(span::is_error)) {
            return Some("error");
        }
        let over = self.keep.over.as_ref()?.0;
        (took? > over).then_some("slow")
    }

    /// Tells of a request.
    pub(crate) fn record(&self, ended: &Ended<'_>) {
        self.exporter.put(span::spans(ended));
    }

    /// Sends what is left, until then at the latest.
    pub(crate) async fn flush(&self, until: Instant) {
        self.exporter.flush(until).await;
    }
}

/// What the gateway says of itself: a `Resource`.
fn resource(service: Option<&str>, more: &[(String, String)]) -> Vec<u8> {
    static INSTANCE: LazyLock<String> = LazyLock::new(|| uuid::Uuid::now_v7().to_string());
    let own = [
        ("service.name", service.unwrap_or("frontgate")),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", &INSTANCE),
        ("telemetry.sdk.name", "frontgate"),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ];
    let mut out = Vec::new();
    for (name, value) in own {
        // What is written has the last word, but for a name that is written by itself.
        if name == "service.name" && service.is_some() || !more.iter().any(|(other, _)| other == name) {
            attribute(&mut out, 1, name, Value::Text(value));
        }
    }
    for (name, value) in more.iter().filter(|(name, _)| name != "service.name" || service.is_none()) {
        attribute(&mut out, 1, name, Value::Text(value));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::config::load_text;
    use crate::discovery::dns::{Dns, Places};
    use crate::telemetry::Traced;
    use crate::telemetry::trace::{TRACEPARENT, begun_by, parent};
    use crate::upstream::balance::random;

    fn tracing(written: &str) -> Arc<Tracing> {
        let head = "version: 1\nserver: {listeners: [{address: 127.0.0.1:0}]}\n";
        let text = format!("{head}routes: [{{name: a, path: /, respond: {{}}}}]\ntelemetry: {{tracing: {written}}}\n");
        let loaded = load_text("a.yaml", &text).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        let metrics = Metrics::new();
        let documents = Documents::new(metrics.clone(), Dns::new(Places::default()));
        Tracing::compile(&loaded.config, None, &metrics, Some(&documents)).expect("it compiles").expect("tracing")
    }

    #[test]
    fn what_is_kept_is_what_failed_or_took_too_long() {
        let took = |millis| Some(Duration::from_millis(millis));
        let tracing = tracing("{keep: {errors: true, over: 2s}}");

        assert_eq!(tracing.keeps(200, None, false, took(2000)), None);
        assert_eq!(tracing.keeps(200, None, false, took(2001)), Some("slow"));
        assert_eq!(tracing.keeps(404, Some(Status::PERMISSION_DENIED), false, took(1)), None);
        assert_eq!(tracing.keeps(200, Some(Status::UNAVAILABLE), false, took(1)), Some("error"));
        assert_eq!(tracing.keeps(500, None, false, took(9000)), Some("error"));
        assert_eq!(tracing.keeps(200, None, true, None), Some("error"));
        assert_eq!(tracing.keeps(101, None, false, None), None);
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_said_of_it() {
        let tracing = tracing("{otlp: http://127.0.0.1:1}");

        assert_eq!(tracing.keeps(500, Some(Status::INTERNAL), true, Some(Duration::from_secs(3600))), None);
        assert!(tracing.asks("spans:127.0.0.1:1") && !tracing.asks("127.0.0.1:1"));
    }

    /// What is done for a request whose trace is not recorded takes no more than 100 ns, with or without a caller's trace. A bound of time: for
    /// optimised builds on a machine that has nothing else to do.
    #[test]
    fn a_request_that_is_not_recorded_costs_next_to_nothing() {
        let tracing = tracing("{sample: 0%, keep: {errors: true, over: 1m}}");
        let called = HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
        let id = HeaderValue::from_static("01890a5d-ac96-774b-bcce-b302099a8057");
        const REQUESTS: u32 = 20_000;

        for headers in [HeaderMap::new(), HeaderMap::from_iter([(TRACEPARENT, called)])] {
            let rounds = (0..9).map(|_| {
                let began = Instant::now();
                for _ in 0..REQUESTS {
                    let parent = parent(black_box(&headers));
                    let trace = parent.map_or_else(|| begun_by(Some(black_box(&id)), random), |parent| parent.trace);
                    let sampled = tracing.samples(black_box(Some(0)), parent, trace);
                    let traced = Traced::new(trace, parent, random(), sampled);
                    black_box(traced.header(1));
                    let kept = tracing.keeps(200, None, false, Some(Duration::from_millis(1)));
                    assert!(!traced.sampled && kept.is_none());
                }
                began.elapsed() / REQUESTS
            });
            let least = rounds.min().expect("rounds");
            assert!(least <= Duration::from_nanos(100) || cfg!(debug_assertions), "{least:?}");
        }
    }
}
