mod drawing;
mod filter;
mod options;

use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;
use pingora_http::RequestHeader;
use prometheus::Registry;

use super::config::Config;
use crate::chain::{Chain, Exchange, Link};
use crate::count::metrics::Families;
use crate::filter::build::{Build, Nowhere};
use crate::filter::{Facts, Filter, Request};
use crate::registry::FilterEntry;
use crate::reply::Reply;
use crate::words::moment::Moment;

/// An hour from now.
fn soon() -> Moment {
    Moment(SystemTime::now() + Duration::from_secs(3600))
}

/// These options, of a drill that goes on.
fn written(options: &str) -> String {
    format!("{{until: {}, {options}}}", soon())
}

fn config(options: &str) -> Config {
    serde_yaml::from_str(&written(options)).unwrap_or_else(|error| panic!("{options}: {error}"))
}

/// A drill, alone in a chain.
struct Bench {
    chain: Chain,
    filter: Arc<dyn Filter>,
    metrics: Families,
    now: Instant,
}

impl Bench {
    fn new(options: &str) -> Self {
        Self::again(options, &Families::new(&Registry::new()), None)
    }

    /// After a reload.
    fn again(options: &str, metrics: &Families, previous: Option<&Arc<dyn Filter>>) -> Self {
        let entry: FilterEntry = serde_yaml::from_str(&format!("fault: {}", written(options))).expect("options");
        assert_eq!(entry.config.options().problems(), []);
        let with = Build { name: "drill", metrics, outside: &Nowhere::default(), previous };
        let filter = entry.config.options().build(&with).expect("a filter");
        let chain = Chain::new(vec![Link { name: "drill".into(), kind: "fault", mode: entry.mode, filter: filter.clone() }]);
        Self { chain, filter, metrics: metrics.clone(), now: Instant::now() }
    }

    /// What becomes of a request with these facts.
    fn ask(&self, head: &mut RequestHeader, facts: &mut Facts) -> Option<Reply> {
        let mut exchange = Exchange::default();
        let mut request = Request::new(head, facts, self.now);
        match pin!(self.chain.request(&mut request, &mut exchange)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => reply,
            Poll::Pending => panic!("it waits"),
        }
    }

    fn injected(&self, kind: &str) -> u64 {
        let status = self.filter.inspect().fault.expect("a drill");
        status.injected.into_iter().find(|(known, _)| *known == kind).expect("a kind").1
    }
}

fn head() -> RequestHeader {
    RequestHeader::build("GET", b"/", None).expect("a head")
}

/// A request for the upstream `catalog`, on the first route.
fn facts() -> Facts {
    let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HeaderValue::from_static("r"));
    (facts.upstream, facts.route_index) = (Some("catalog".into()), 0);
    facts
}

/// All requests meet these rules.
fn always(rules: &str) -> String {
    format!("max_share: 100%, i_know: true, rules: [{rules}]")
}
