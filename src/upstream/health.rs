//! Probes: whether an endpoint lives, asked without a client waiting for it.

mod grpc;

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use frontgate_filters::words::fields;
use http::Method;
use http::header::{ACCEPT, CONNECTION, USER_AGENT};
use tokio::net::TcpStream;

use super::balance::random;
use super::cause::Cause;
use super::h1::{Fault, Upload};
use super::line::{self, Fields, Said};
use super::pool::{Endpoint, Pool};
use crate::config::model::Health;

/// Thousands of endpoints that come at once are probed one so long after the other, so that they take no descriptors from requests.
const SPREAD: Duration = Duration::from_micros(250);

/// Begins to probe those endpoints of a pool that nobody probes yet; ends for each when it leaves the pool or the pool is gone.
pub(crate) fn watch(pool: &Arc<Pool>, runtime: &tokio::runtime::Handle) {
    let (Some(health), new) = pool.to_be_probed() else { return };
    let health = Arc::new(health.clone());
    for (number, endpoint) in new.into_iter().enumerate() {
        let named = pool.host.as_ref().and_then(fields::text).or(pool.server_name());
        let host = named.unwrap_or(&endpoint.authority).to_owned();
        let first = (SPREAD * number as u32).min(health.interval.0);
        runtime.spawn(probes(Arc::downgrade(pool), endpoint, health.clone(), host, first));
    }
}

async fn probes(pool: Weak<Pool>, endpoint: Arc<Endpoint>, health: Arc<Health>, host: String, first: Duration) {
    let (mut good, mut bad) = (0, 0);
    tokio::time::sleep(first).await;
    loop {
        let probe = tokio::time::timeout(health.timeout.0, probe(&endpoint, &health, &host));
        let result = probe.await.unwrap_or(Err(Cause::TooSlow));
        let Some(pool) = pool.upgrade().filter(|pool| pool.probes(&endpoint)) else { return };
        (good, bad) = if result.is_ok() { (good + 1, 0) } else { (0, bad + 1) };
        if let Err(cause) = result {
            pool.probe_failed(&endpoint, cause);
        }
        if good >= health.healthy_after.get() || bad >= health.unhealthy_after.get() {
            pool.found(&endpoint, result, Instant::now());
        }
        drop(pool);
        tokio::time::sleep(jittered(health.interval.0)).await;
    }
}

/// Up to a tenth more or less, so that the probes of a fleet do not come all at once.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * (random() >> 11) as f64 / (1_u64 << 53) as f64)
}

/// One probe on a connection of its own: a pooled one would say that an old connection lives, not that a new one can be had.
async fn probe(endpoint: &Arc<Endpoint>, health: &Health, host: &str) -> Result<(), Cause> {
    if let Some(service) = &health.grpc {
        return grpc::check(endpoint, service, host).await;
    }
    let Some(path) = &health.path else { return TcpStream::connect(endpoint.address).await.map(drop).map_err(|error| Cause::of(&error)) };
    let mut line = line::alone(endpoint).await?;
    line.begin(&Method::GET, path.value.as_bytes(), Upload::None, &Probe { host });
    // What was not taken may have been answered.
    let _ = poll_fn(|cx| line.poll_flush(cx)).await;
    match poll_fn(|cx| line.poll_final_head(cx)).await {
        Ok(head) if health.expect.contains(head.status.as_u16()) => Ok(()),
        Ok(head) => Err(Cause::Status(head.status.as_u16())),
        Err(Fault::Unwelcome(cause)) => Err(cause),
        Err(Fault::Malformed(why)) => Err(Cause::of_malformed(why)),
        Err(Fault::Closed(_) | Fault::Broken(_) | Fault::Refused) => Err(Cause::Closed),
    }
}

struct Probe<'h> {
    host: &'h str,
}

impl Said for Probe<'_> {
    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }

    fn fields<F: Fields>(&self, out: &mut F) {
        out.say(&USER_AGENT, b"frontgate-health");
        out.say(&ACCEPT, b"*/*");
        if !F::HTTP2 {
            out.say(&CONNECTION, b"close");
        }
    }
}
