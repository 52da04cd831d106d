//! Probes: whether an endpoint lives, asked without a client waiting for it.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::balance::random;
use super::cause::Cause;
use super::pool::{Endpoint, Pool};
use crate::config::model::Health;

/// Begins to probe those endpoints of a pool that nobody probes yet; ends for each when it leaves the pool or the pool is gone.
pub(crate) fn watch(pool: &Arc<Pool>, runtime: &tokio::runtime::Handle) {
    let (Some(health), new) = pool.to_be_probed() else { return };
    let health = Arc::new(health.clone());
    for endpoint in new {
        let host = pool.host.as_ref().and_then(|host| host.to_str().ok()).map_or_else(|| endpoint.text.to_string(), str::to_owned);
        runtime.spawn(probes(Arc::downgrade(pool), endpoint, health.clone(), host));
    }
}

async fn probes(pool: Weak<Pool>, endpoint: Arc<Endpoint>, health: Arc<Health>, host: String) {
    let (mut good, mut bad) = (0, 0);
    loop {
        let probe = tokio::time::timeout(health.timeout.0, probe(endpoint.address, &health, &host));
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
async fn probe(address: SocketAddr, health: &Health, host: &str) -> Result<(), Cause> {
    let failed = |error: std::io::Error| Cause::of(&error);
    let mut stream = TcpStream::connect(address).await.map_err(failed)?;
    let Some(path) = &health.path else { return Ok(()) };
    let request =
        format!("GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: frontgate-health\r\nAccept: */*\r\nConnection: close\r\n\r\n", path.value);
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut line = [0_u8; 12];
    stream.read_exact(&mut line).await.map_err(failed)?;
    let status = line.strip_prefix(b"HTTP/1.").and_then(|rest| std::str::from_utf8(rest.get(2..5)?).ok()?.parse().ok());
    match status {
        Some(status) if health.expect.contains(status) => Ok(()),
        Some(status) => Err(Cause::Status(status)),
        None => Err(Cause::Unreadable),
    }
}
