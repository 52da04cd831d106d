//! What is measured: a gateway for each thing that a route can do, and the smallest Pingora proxy.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use async_trait::async_trait;
use frontgate_test_support::yaml;
use pingora_core::Result;
use pingora_core::server::Fds;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::Service as _;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

struct Bare(HttpPeer);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();
    fn new_ctx(&self) {}
    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.0.clone()))
    }
}

/// Starts bare Pingora in a thread of this process.
pub fn bare(origin: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a flag");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let mut service = http_proxy_service(&Arc::new(ServerConf::default()), Bare(HttpPeer::new(origin, false, String::new())));
            service.add_tcp(&address.to_string());
            let mut fds = Fds::new();
            fds.add(address.to_string(), std::os::fd::IntoRawFd::into_raw_fd(listener));
            let (_keep, shutdown) = tokio::sync::watch::channel(false);
            service.start_service(Some(Arc::new(parking_lot::Mutex::new(fds))), shutdown, 1).await;
        });
    });
    address
}

pub fn start(text: &str) -> frontgate::Running {
    let loaded = frontgate::config::load_text("budget.yaml", text).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    frontgate::start(loaded, Box::new(|| frontgate::config::load(None))).expect("the gateway starts")
}

/// One worker, one upstream, one route with these filters.
pub fn gateway(origin: SocketAddr, filters: &str) -> frontgate::Running {
    start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1}
        upstreams:
          main: {endpoints: [$ORIGIN]}
        routes:
          - {name: all, path: /**, upstream: main, filters: [$FILTERS]}
        ",
        &[("$ORIGIN", &origin), ("$FILTERS", &filters)],
    ))
}

/// The same with five filters defined, `login` knowing these keys; those of the list are on the route.
pub fn authenticated(origin: SocketAddr, keys: &str, filters: &str) -> frontgate::Running {
    let file = std::env::temp_dir().join(format!("frontgate-budget-{}.json", std::process::id()));
    std::fs::write(&file, keys).expect("a file");
    let running = start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1}
        upstreams:
          main: {endpoints: [$ORIGIN]}
        filters:
          login:
            jwt:
              issuer: any
              audience: any
              algorithms: [ES256]
              keys: {jwks: {file: $KEYS}}
              claim_headers: {X-User-Id: claim.sub}
          roles:
            rbac: {claim: roles, any_of: [user], roles: {user: [GET /api/**]}}
          per_user:
            rate_limit: {key: claim.sub, rate: 1000000/s, concurrency: 50}
          guard:
            circuit_breaker: {fallback: [{respond: {status: 503}}]}
          stamp:
            version_header: {value: v2.4, to: [client, upstream]}
        routes:
          - {name: all, path: /**, upstream: main, filters: [$FILTERS]}
        ",
        &[("$ORIGIN", &origin), ("$KEYS", &file.display()), ("$FILTERS", &filters)],
    ));
    let _ = std::fs::remove_file(&file);
    running
}

/// A route that is answered from three calls, which are made at once.
pub fn composed(origin: SocketAddr) -> frontgate::Running {
    start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1}
        upstreams:
          main: {endpoints: [$ORIGIN]}
        routes:
          - name: all
            path: /**
            methods: [GET]
            aggregate:
              calls:
                user: {upstream: main, get: /user}
                cart: {upstream: main, get: /cart}
                news: {upstream: main, get: /news}
        ",
        &[("$ORIGIN", &origin)],
    ))
}

/// A route that another one of its path comes before, for requests with a header.
pub fn by_facts(origin: SocketAddr) -> frontgate::Running {
    start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1}
        upstreams:
          main: {endpoints: [$ORIGIN]}
        routes:
          - {name: new, path: /**, when: {header.X-Api-Version: \"2\", client_ip: 127.0.0.0/8}, upstream: main}
          - {name: all, path: /**, upstream: main}
        ",
        &[("$ORIGIN", &origin)],
    ))
}

/// A route whose requests go to one of two upstreams: as `keys` say.
pub fn chosen(origin: SocketAddr, keys: &str) -> frontgate::Running {
    start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1}
        upstreams:
          main: {endpoints: [$ORIGIN]}
          next: {endpoints: [$ORIGIN]}
        routes:
          - {name: all, path: /**, $KEYS}
        ",
        &[("$ORIGIN", &origin), ("$KEYS", &keys)],
    ))
}

/// A route without filters, and another whose requests are all refused by a limit, with these keys of the log.
pub fn logging(origin: SocketAddr, log: &str) -> frontgate::Running {
    start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1}
        upstreams:
          main: {endpoints: [$ORIGIN]}
        routes:
          - {name: none, path: /**, when: {header.X-None: \"*\"}, upstream: main, filters: [{rate_limit: {key: client_ip, rate: 1/h, burst: 1}}]}
          - {name: all, path: /**, upstream: main}
        telemetry: {access_log: {to: {file: /dev/null}, $LOG}}
        ",
        &[("$ORIGIN", &origin), ("$LOG", &log)],
    ))
}

/// A route whose requests are copied for an upstream that takes them and never answers, one at a time.
pub fn mirrored(origin: SocketAddr) -> frontgate::Running {
    start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1}
        upstreams:
          main: {endpoints: [$ORIGIN]}
          hung: {endpoints: [$HUNG], timeouts: {first_byte: 1h}}
        routes:
          - {name: all, path: /**, upstream: main, mirror: {upstream: hung, max_in_flight: 1, timeout: 1h}}
        ",
        &[("$ORIGIN", &origin), ("$HUNG", &hung())],
    ))
}

/// A route whose clients may say which trace their requests belong to; `tracing` says what is recorded.
pub fn traced(origin: SocketAddr, tracing: &str) -> frontgate::Running {
    start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1, trusted_proxies: [127.0.0.1]}
        upstreams:
          main: {endpoints: [$ORIGIN]}
        routes:
          - {name: all, path: /**, upstream: main}
        telemetry:
          access_log: \"off\"
          $TRACING
        ",
        &[("$ORIGIN", &origin), ("$TRACING", &tracing)],
    ))
}

/// Takes connections and is silent on all of them.
pub fn hung() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let held: Vec<_> = listener.incoming().collect();
        drop(held);
    });
    address
}
