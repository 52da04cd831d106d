//! Probes: whether an endpoint lives, asked without a client waiting for it.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use frontgate_filters::words::fields;
use http::Method;
use tokio::net::TcpStream;

use super::balance::random;
use super::h1::{Connection, Io, Upload, put_field};
use super::pool::{Endpoint, Pool};
use crate::config::model::Health;

/// Begins to probe those endpoints of a pool that nobody probes yet; ends for each when it leaves the pool or the pool is gone.
pub(crate) fn watch(pool: &Arc<Pool>, runtime: &tokio::runtime::Handle) {
    let (Some(health), new) = pool.to_be_probed() else { return };
    let health = Arc::new(health.clone());
    for endpoint in new {
        let host = pool.host.as_ref().and_then(fields::text).map_or_else(|| endpoint.text.to_string(), str::to_owned);
        runtime.spawn(probes(Arc::downgrade(pool), endpoint, health.clone(), host));
    }
}

async fn probes(pool: Weak<Pool>, endpoint: Arc<Endpoint>, health: Arc<Health>, host: String) {
    let (mut good, mut bad) = (0, 0);
    loop {
        let probe = tokio::time::timeout(health.timeout.0, probe(endpoint.address, &health, &host));
        let well = probe.await.unwrap_or(false);
        let Some(pool) = pool.upgrade().filter(|pool| pool.probes(&endpoint)) else { return };
        (good, bad) = if well { (good + 1, 0) } else { (0, bad + 1) };
        if good >= health.healthy_after.get() {
            pool.found(&endpoint, true, Instant::now());
        } else if bad >= health.unhealthy_after.get() {
            pool.found(&endpoint, false, Instant::now());
        }
        drop(pool);
        tokio::time::sleep(jittered(health.interval.0)).await;
    }
}

/// Up to a tenth more or less, so that the probes of a fleet do not come all at once.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * (random() >> 11) as f64 / (1_u64 << 53) as f64)
}

/// One probe on a connection of its own: a pooled one would say that an old connection lives, not that a new one can be had. Whether it went
/// well.
async fn probe(address: SocketAddr, health: &Health, host: &str) -> bool {
    let Ok(socket) = TcpStream::connect(address).await else { return false };
    let Some(path) = &health.path else { return true };
    let mut connection = Connection::new(Io::Tcp(socket));
    connection.begin(&Method::GET, path.value.as_bytes(), Upload::None, |out| {
        put_field(out, b"host", host.as_bytes());
        put_field(out, b"user-agent", b"frontgate-health");
        put_field(out, b"accept", b"*/*");
        put_field(out, b"connection", b"close");
    });
    // What was not taken may have been answered.
    let _ = poll_fn(|cx| connection.poll_flush(cx)).await;
    let answer = poll_fn(|cx| connection.poll_final_head(cx)).await;
    answer.is_ok_and(|head| health.expect.contains(head.head.status.as_u16()))
}
