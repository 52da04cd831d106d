//! The real library, started in-process on free ports.

use std::net::SocketAddr;

use frontgate::config;

/// A running gateway.
pub struct Gateway {
    pub running: frontgate::Running,
    pub address: SocketAddr,
}

impl Gateway {
    /// Starts with this configuration. `$ORIGIN` is the origin's address; listeners take port 0.
    pub fn start(text: &str) -> Self {
        let loaded = config::load_text("test.yaml", text).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        let running = frontgate::start(loaded, Box::new(|| config::load(None))).expect("the gateway starts");
        Self { address: running.addresses()[0], running }
    }

    /// One listener, one pool at `origin`, one route for everything; `route` and `server` are more keys of each.
    pub fn over(origin: SocketAddr, server: &str, route: &str) -> Self {
        Self::start(&simple(origin, server, route))
    }

    /// What the metrics say of a series, 0 where there is none.
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.running.scrape();
        text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()).unwrap_or(0.0)
    }
}

/// The text behind [`Gateway::over`].
pub fn simple(origin: SocketAddr, server: &str, route: &str) -> String {
    format!(
        "version: 1\nserver:\n  listeners: [{{address: \"127.0.0.1:0\"}}]\n{server}\nupstreams:\n  main: {{endpoints: [\"{origin}\"]}}\n\
         routes:\n  - name: all\n    path: /**\n    upstream: main\n{route}\ntelemetry: {{access_log: \"off\"}}\n"
    )
}
