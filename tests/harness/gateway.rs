//! The real library, started in-process on free ports.

use std::net::SocketAddr;

use frontgate::config;
use frontgate_test_support::yaml;

use super::{PATIENCE, until};

/// A running gateway.
pub struct Gateway {
    pub running: frontgate::Running,
    pub address: SocketAddr,
}

impl Gateway {
    /// Starts with this configuration, as `yaml` makes one; listeners take port 0.
    pub fn start(text: &str) -> Self {
        let loaded = load(text);
        let running = frontgate::start(loaded, Box::new(|| config::load(None))).expect("the gateway starts");
        Self { address: running.addresses()[0], running }
    }

    /// One listener, one upstream at `origin`, one route for everything; `server` and `route` are more keys of each.
    pub fn over(origin: SocketAddr, server: &str, route: &str) -> Self {
        Self::start(&simple(origin, server, route))
    }

    /// What the metrics say of a series, 0 where there is none.
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.running.scrape();
        text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()).unwrap_or(0.0)
    }

    /// Waits until a series has come to this: a client may have its answer before all of it is counted.
    #[track_caller]
    pub fn comes_to(&self, series: &str, value: f64) {
        until(&format!("{series} {value}"), || self.metric(series) == value);
    }
}

/// A configuration that must be a good one.
///
/// How late its threads are says nothing here, where many tests share few processors: it counts only where the text is about overload.
#[track_caller]
pub fn load(text: &str) -> config::Loaded {
    let mut loaded = config::load_text("test.yaml", text).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    if !text.contains("overload:") {
        loaded.config.server.overload.lag.0 = PATIENCE;
    }
    loaded
}

/// The same for a text that the binary reads.
pub fn patient(text: &str) -> String {
    if text.contains("overload:") {
        return text.to_owned();
    }
    let overload = format!("overload: {{lag: {}s}}", PATIENCE.as_secs());
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let Some(server) = lines.iter().position(|line| line.starts_with("server:")) else { return text.to_owned() };
    match lines[server].strip_prefix("server: {") {
        Some(rest) => lines[server] = format!("server: {{{overload}, {rest}"),
        None => {
            let below = lines[server + 1..].iter().find(|line| !line.trim().is_empty()).expect("`server` has keys");
            let indentation = " ".repeat(below.len() - below.trim_start().len());
            // The line's own number stays: tests speak of those.
            let next = lines[server + 1..].iter().position(|line| line == below).expect("it was found") + server + 1;
            lines[next] = format!("{indentation}{overload}\n{below}");
        }
    }
    lines.join("\n") + "\n"
}

/// The text behind [`Gateway::over`].
pub fn simple(origin: SocketAddr, server: &str, route: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          $SERVER
        upstreams:
          main: {endpoints: [$ORIGIN]}
        routes:
          - name: all
            path: /**
            upstream: main
            $ROUTE
        ",
        &[("$ORIGIN", &origin), ("$SERVER", &server), ("$ROUTE", &route)],
    )
}
