//! Probes: whether an endpoint lives, asked without a client waiting for it.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use frontgate_filters::words::fields;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::balance::random;
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
        let well = probe.await.is_ok_and(|answer| answer.unwrap_or(false));
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

/// One probe on a connection of its own: a pooled one would say that an old connection lives, not that a new one can be had.
async fn probe(address: SocketAddr, health: &Health, host: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let Some(path) = &health.path else { return Ok(true) };
    let request =
        format!("GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: frontgate-health\r\nAccept: */*\r\nConnection: close\r\n\r\n", path.value);
    stream.write_all(request.as_bytes()).await?;
    let mut line = [0_u8; 12];
    stream.read_exact(&mut line).await?;
    let status = line.strip_prefix(b"HTTP/1.").and_then(|rest| std::str::from_utf8(rest.get(2..5)?).ok()?.parse().ok());
    Ok(status.is_some_and(|status| health.expect.contains(status)))
}
