//! A gateway that has met everything that makes a metric appear.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpListener;

use frontgate_filters::jwt::Algorithm;
use frontgate_filters::jwt::issuer::Issuer;

use crate::grpc::unary;
use crate::harness::http2::over_http2;
use crate::harness::origin::response;
use crate::harness::{Gateway, Origin, exchange, get, raw, until, yaml};
use crate::tls::authority::{Authority, Directory};

/// The gateway, and what has to live as long.
pub struct Busy {
    pub gateway: Gateway,
    _origin: Origin,
    _keys: Origin,
    _directory: Directory,
}

/// A family of metrics as a page shows it.
#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    pub labels: BTreeSet<String>,
    /// By label, `le` left out.
    pub values: BTreeMap<String, BTreeSet<String>>,
    pub series: usize,
}

/// What a page says, by the families' names.
pub fn families(page: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            name.clone_into(&mut current);
            families.entry(current.clone()).or_default().kind = kind.to_owned();
        } else if !line.starts_with('#') {
            let family = families.get_mut(&current).unwrap_or_else(|| panic!("{line} has no type"));
            family.series += 1;
            let Some((_, rest)) = line.split_once('{') else { continue };
            let (labels, _) = rest.rsplit_once('}').unwrap();
            for (label, value) in labels.split("\",").filter_map(|pair| pair.split_once("=\"")).filter(|(label, _)| *label != "le") {
                family.labels.insert(label.to_owned());
                family.values.entry(label.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
            }
        }
    }
    families
}

/// A route of sagas.
const SAGA: &str = "- {name: saga, path: /saga, saga: {steps: {hold: {upstream: main, post: /hold, body: {a: 1}, undo: {delete: /hold}}, \
                    buy: {upstream: gone, post: /buy, body: {a: 1}, attempts: 1}}}}";

fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Busy {
    /// Starts it and keeps it busy until it shows what it has met.
    pub fn start() -> Self {
        let (authority, directory) = (Authority::new(), Directory::new());
        let issued = authority.issue(&["shop.example"]);
        directory.put("shop.pem", &issued.cert);
        directory.put("shop.key", &issued.key);
        directory.put("ca.pem", &authority.pem());
        let origin = Origin::start(|request, stream| {
            let kind = if request.line().contains("text") { "text/plain" } else { "application/json" };
            let json = format!(r#"{{"id":1,"debug":"{}"}}"#, "x".repeat(2000));
            stream.write_all(response("200 OK", &format!("Content-Type: {kind}\r\n"), &json).as_bytes()).is_ok()
        });
        let keys = Origin::json(&Issuer::fresh("k1", Algorithm::ES256).unwrap().jwks());
        directory.put("targets.json", &format!("[\"{}\"]", origin.address));
        // Spans are made in a build that can, and nobody takes them.
        let telemetry = match cfg!(feature = "otel") {
            true => format!("telemetry: {{access_log: \"off\", tracing: {{otlp: \"http://{}\", sample: 100%}}}}", nobody()),
            false => String::new(),
        };
        // Its last step reaches nobody, so that the one before it is taken back.
        let (state, saga) = match cfg!(feature = "saga") {
            true => (format!("state_dir: {}/state", directory.display()), SAGA),
            false => (String::new(), ""),
        };
        let text = yaml(
            "
            server:
              listeners:
                - {address: 127.0.0.1:0, protocols: [h2, http1]}
                - {address: 127.0.0.1:0, tls: {cert: $FOLDER/shop.pem, key: $FOLDER/shop.key}}
              admin: 127.0.0.1:0
              $STATE
            upstreams:
              main: {endpoints: [{address: $ORIGIN, version: v1}], timeouts: {first_byte: {adaptive: {min: 100ms, max: 5s}}}}
              next: {endpoints: [$ORIGIN]}
              gone: {endpoints: [$NOBODY], timeouts: {connect: 200ms}, tls: {server_name: shop.example, ca: $FOLDER/ca.pem}}
              called: {endpoints: [$NOBODY], protocol: h2}
              listed: {discover: {file: $FOLDER/targets.json}}
            filters:
              login: {jwt: {issuer: any, audience: any, algorithms: [ES256], keys: {jwks: {url: \"http://$KEYS/\"}}}}
              few: {rate_limit: {key: client_ip, rate: 1/h, burst: 1}}
              office: {ip_access: {allow: [127.0.0.0/8]}}
              slim: {trim: {by: query.as, profiles: {tv: {drop: [debug]}}}}
              small: {compress: {}}
              guard: {circuit_breaker: {consecutive: 1, open_for: 10m, max_open_for: 10m, fallback: [{respond: {json: {}}}]}}
            routes:
              - {name: products, path: /products/**, upstream: main, filters: [office, slim]}
              - {name: small, path: /small/**, upstream: main, filters: [small]}
              - {name: guarded, path: /guarded/**, upstream: gone, filters: [guard]}
              - {name: failing, path: /failing/**, upstream: gone}
              - {name: limited, path: /limited/**, upstream: main, filters: [few]}
              - {name: closed, path: /closed/**, upstream: main, filters: [login]}
              - {name: versions, path: /versions/**, upstream: main, canary: [{version: v2, upstream: next, share: 100%}]}
              - {name: spilled, path: /spilled/**, upstream: main, canary: [{version: v3, upstream: gone, share: 100%}]}
              - {name: broken, path: /broken/**, upstream: main, canary: [{version: v4, upstream: gone, share: 100%, otherwise: fail}]}
              - {name: copied, path: /copied/**, upstream: main, mirror: {upstream: next, body: 1B}}
              - {name: listed, path: /listed/**, upstream: listed}
              - {name: called, path: /called/**, upstream: called}
              - {name: quiet, path: /quiet/**, upstream: main, canary: [{version: v9, upstream: next, share: 100%}]}
              $SAGA
            $TELEMETRY
            ",
            &[
                ("$STATE", &state),
                ("$SAGA", &saga),
                ("$TELEMETRY", &telemetry),
                ("$FOLDER", &directory.display()),
                ("$ORIGIN", &origin.address),
                ("$NOBODY", &nobody()),
                ("$KEYS", &keys.address),
            ],
        );
        let gateway = Gateway::start(&text);
        let busy = Self { gateway, _origin: origin, _keys: keys, _directory: directory };
        busy.work();
        busy
    }

    /// One round of everything.
    pub fn work(&self) {
        let address = self.gateway.address;
        for path in [
            "products?as=tv",
            "products/text?as=tv",
            "failing",
            "limited",
            "limited",
            "closed",
            "versions",
            "spilled",
            "broken",
            "copied",
            "listed",
            "nowhere",
        ] {
            get(address, &format!("/{path}"));
        }
        (0..3).for_each(|_| drop(get(address, "/guarded")));
        let ask = |head: &str| exchange(address, format!("{head}\r\nHost: evil.example\r\nConnection: close\r\n\r\n").as_bytes());
        ask("GET /small HTTP/1.1\r\nAccept-Encoding: gzip");
        ask("EVIL /products/evil?evil HTTP/1.1\r\nUser-Agent: evil\r\nX-BFF-Version: evil\r\nX-Request-Id: evil");
        exchange(address, b"GET /copied HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nConnection: close\r\n\r\nnine here");
        ask("POST /saga HTTP/1.1\r\nIdempotency-Key: k\r\nContent-Length: 0");
        let _ = over_http2(address, async |mut client| unary(&mut client, "/called/call", &[]).await);
        // In clear text where TLS is spoken.
        let mut plain = raw(self.gateway.running.addresses()[1]);
        plain.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        until("all of it to be counted", || {
            let page = self.page();
            [
                "frontgate_tls_handshakes_total{listener=\"127.0.0.1:0\",result=\"plain_http\",version=\"\"}",
                "frontgate_mirror_status_total",
                "frontgate_mirror_skipped_total",
                "frontgate_grpc_requests_total",
                "frontgate_jwks_age_seconds",
                "frontgate_discovery_age_seconds",
                if cfg!(feature = "saga") { "frontgate_saga_ended_total{route=\"saga\",state=\"undone\"}" } else { "frontgate_build_info" },
            ]
            .iter()
            .all(|series| page.lines().any(|line| line.starts_with(series) && !line.ends_with(" 0")))
        });
    }

    /// What a scrape shows.
    pub fn page(&self) -> String {
        self.gateway.running.scrape()
    }
}
