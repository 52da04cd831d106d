//! `discover: {etcd}`: endpoints that services write under a prefix of keys, as a rule under a lease that ends with them.
//!
//! All keys are watched, then read. Whatever ends the watch (a connection that is lost or silent, a compaction, a
//! cluster that was wiped), all keys are read anew, and what was read takes the place of what was known.

mod listed;
mod session;
mod value;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};
use frontgate_filters::words::fnv;
use frontgate_filters::words::spanned::Spanned;

use self::session::End;
use super::{Part, Reporter};
use crate::certificates;
use crate::config::Loaded;
use crate::config::model::{Discover, Etcd, EtcdFormat, Upstream, UpstreamProtocol};
use crate::files;
use crate::upstream::balance::random;
use crate::upstream::tls::system;

/// How long after a doubtful answer another one has to come that says the same.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest pause before the next member is asked.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Within this time all gateways come back after etcd was away: not all at once.
const SPREAD: Duration = Duration::from_secs(2);
/// How often etcd is asked whether it is there, and for how long it may be silent.
const PULSE: Duration = Duration::from_secs(5);

/// What is asked, and of whom.
struct Spec {
    members: Vec<String>,
    user: Option<(String, String)>,
    tls: Option<TlsFiles>,
    prefix: String,
    format: EtcdFormat,
    /// Whether the endpoints are spoken to in HTTP/2.
    http2: bool,
}

/// Files for TLS; they are read for each connection, so that what is renewed is used.
#[derive(Clone)]
struct TlsFiles {
    ca: Option<PathBuf>,
    pair: Option<(PathBuf, PathBuf)>,
}

/// The source that a prefix is.
pub(super) fn part(upstream: &Upstream, discover: &Discover, etcd: &Spanned<Etcd>, loaded: &Loaded) -> Result<Part, String> {
    let resolved = |path: &Spanned<PathBuf>| loaded.resolve_path(path.place, path);
    let prefix = discover.prefix.as_ref().map(|prefix| prefix.value.clone()).unwrap_or_default();
    let password = etcd.password.as_ref().map(|secret| loaded.secret(secret)).transpose();
    let password = password.map_err(|why| format!("{}: {why}", loaded.describe(etcd.place)))?;
    let tls = etcd.tls.as_ref();
    let files = tls.into_iter().flat_map(|tls| [&tls.ca, &tls.cert, &tls.key].into_iter().flatten());
    let secrets = fnv::fnv1a(fnv::BASIS, password.as_deref().unwrap_or_default().as_bytes());
    let secrets = certificates::contents(secrets, files, &|path| loaded.file(path));
    let spec = Arc::new(Spec {
        members: etcd.endpoints.iter().map(|member| member.value.clone()).collect(),
        user: etcd.user.as_ref().map(|user| (user.value.clone(), password.unwrap_or_default())),
        // A member that is spoken to over TLS is verified with the system's authorities where nothing else is written.
        tls: etcd.endpoints.iter().any(|member| member.starts_with("https://")).then(|| TlsFiles {
            ca: tls.and_then(|tls| tls.ca.as_ref()).map(resolved),
            pair: tls.and_then(|tls| tls.cert.as_ref().zip(tls.key.as_ref())).map(|(cert, key)| (resolved(cert), resolved(key))),
        }),
        prefix: prefix.clone(),
        format: discover.format,
        http2: upstream.protocol() == UpstreamProtocol::H2,
    });
    let user = spec.user.as_ref().map(|(user, _)| user.as_str()).unwrap_or_default();
    Ok(Part {
        source: format!("etcd {prefix}"),
        identity: format!("etcd {:?} {user:?} {secrets} {prefix:?} {:?} {}", spec.members, spec.format, spec.http2),
        patience: PATIENCE,
        run: Arc::new(move |reporter| Box::pin(run(reporter, spec.clone()))),
    })
}

/// Follows the keys at one member after the other, beginning with any.
async fn run(reporter: Reporter, spec: Arc<Spec>) {
    let mut at = random() as usize % spec.members.len().max(1);
    let mut failures = 0;
    loop {
        let Some(member) = spec.members.get(at % spec.members.len().max(1)) else { return };
        let mut served = false;
        match session::follow(&spec, member, &reporter, &mut served).await {
            Ok(End { why }) => log::info!("etcd {}: {why}: all keys are read anew", spec.prefix),
            Err(why) => {
                reporter.failed(format!("{member}: {why}"));
                at += 1;
            }
        }
        failures = if served { 0 } else { failures + 1 };
        tokio::time::sleep(pause(failures, random())).await;
    }
}

/// How long one waits after so many failures in a row, as chance has it.
fn pause(failures: u32, chance: u64) -> Duration {
    let share = (chance >> 11) as f64 / (1_u64 << 53) as f64;
    match failures {
        0 | 1 => SPREAD.mul_f64(share),
        more => LONGEST_PAUSE.min(Duration::from_secs(1 << more.min(10))).mul_f64(0.5 + share / 2.0),
    }
}

impl Spec {
    /// How a member is connected to.
    async fn options(&self) -> Result<ConnectOptions, String> {
        let mut options = ConnectOptions::new()
            .with_keep_alive(PULSE, PULSE)
            .with_connect_timeout(PULSE)
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let Some((user, password)) = &self.user {
            options = options.with_user(user, password);
        }
        if let Some(files) = self.tls.clone() {
            // File systems may let one wait.
            let read = tokio::task::spawn_blocking(move || files.read()).await;
            options = options.with_tls(read.map_err(|_| "its files for TLS could not be read".to_owned())??);
        }
        Ok(options)
    }
}

impl TlsFiles {
    fn read(&self) -> Result<TlsOptions, String> {
        let read = |path: &PathBuf| files::read(path, files::SMALL);
        let mut options = match &self.ca {
            Some(ca) => TlsOptions::new().ca_certificate(Certificate::from_pem(read(ca)?)),
            None => TlsOptions::new().trust_anchors(system().roots.iter().cloned()),
        };
        if let Some((cert, key)) = &self.pair {
            options = options.identity(Identity::from_pem(read(cert)?, read(key)?));
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_grow_and_no_two_gateways_come_back_together() {
        for (failures, least, most) in [(0, 0, 2), (1, 0, 2), (2, 2, 4), (3, 4, 8), (4, 5, 10), (40, 5, 10)] {
            for chance in [0, u64::MAX / 2, u64::MAX] {
                let pause = pause(failures, chance);
                assert!((least..=most).contains(&(pause.as_secs_f64().round() as u64)), "{failures}: {pause:?}");
            }
        }
        assert_ne!(pause(1, u64::MAX / 3), pause(1, u64::MAX / 2));
    }
}
