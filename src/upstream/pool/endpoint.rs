//! One endpoint: how its pool describes it just now, and what is known of it, which outlives the description.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use http::HeaderValue;
use rustls::pki_types::ServerName;

use super::by_hand::{ByHand, Hold};
use crate::config::model::{Balance, Name, UpstreamProtocol};
use crate::telemetry::EndpointState;
use crate::upstream::found::Found;
use crate::upstream::tls::Tls;

/// An endpoint of a pool.
pub(crate) struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// The same, as logs say it.
    pub text: Box<str>,
    /// The name that its address was found under.
    pub name: Option<Name>,
    /// What it is called as Host where nothing else says it: its name, else its address.
    pub authority: Box<str>,
    /// What `X-BFF-Version` says of its answers.
    pub version: Option<HeaderValue>,
    /// Its share of the requests beside the others' weights as it is written; 0 takes none.
    pub written_weight: u32,
    /// What it is spoken to in.
    pub protocol: UpstreamProtocol,
    /// How it is spoken to over TLS, where it is.
    tls: Option<Arc<Tls>>,
    connections: u64,
    /// What is known of it, under every description that it has had.
    pub(super) known: Arc<Known>,
}

/// What is known of an endpoint. Times are milliseconds since the first pool of its name began.
pub(super) struct Known {
    /// Names the endpoint for as long as it belongs to the pool; never used again.
    pub id: u64,
    pub in_flight: AtomicU64,
    /// Probes found it unhealthy.
    pub unhealthy: AtomicBool,
    /// Failed requests in a row.
    pub failures: AtomicU32,
    /// Until when it is ejected; 0 for never.
    pub ejected_until: AtomicU64,
    /// How often it was ejected lately.
    pub ejections: AtomicU32,
    /// Since when it takes requests again; 0 where it always did.
    pub back_since: AtomicU64,
    /// The pool whose probes look after it; 0 for none.
    pub probed_by: AtomicU64,
    /// The number of the [`Cause`](crate::upstream::cause::Cause) of its last failure; 0 for none.
    pub last_error: AtomicU32,
    /// When that was.
    pub failed_at: AtomicU64,
    /// Whether it takes offence at being asked often whether it lives.
    pub spared: AtomicBool,
    /// Until when it is known to speak HTTP/1.1 alone, in milliseconds of this process; 0 where it is not.
    pub http1_until: AtomicU64,
    /// When the log was last told that TLS fails there; 0 for never.
    pub told_at: AtomicU64,
    /// What operators set for it.
    pub hold: Hold,
}

/// What all endpoints of a pool have in common.
pub(super) struct Terms<'t> {
    pub balance: &'t Balance,
    pub protocol: UpstreamProtocol,
    /// How they are spoken to over TLS, where they are.
    pub tls: Option<&'t Arc<Tls>>,
    /// Whether an endpoint that nothing is known of waits for good probes.
    pub wait_for_probes: bool,
}

/// How long it is remembered that an endpoint does not speak HTTP/2.
const REMEMBERED: Duration = Duration::from_secs(600);

fn process_millis() -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGAN.elapsed().as_millis() as u64
}

/// A number that nothing else in this process has.
pub(super) fn fresh_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Whether both are spoken to in the same way.
pub(super) fn is_same(one: Option<&Arc<Tls>>, other: Option<&Arc<Tls>>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}

impl Endpoint {
    /// An endpoint of which nothing is known but what operators set for its address.
    pub(super) fn new(written: &Found, terms: &Terms<'_>, by_hand: &ByHand) -> Self {
        let known = Arc::new(Known {
            id: fresh_id(),
            in_flight: AtomicU64::new(0),
            unhealthy: AtomicBool::new(terms.wait_for_probes),
            failures: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            back_since: AtomicU64::new(0),
            probed_by: AtomicU64::new(0),
            last_error: AtomicU32::new(0),
            failed_at: AtomicU64::new(0),
            spared: AtomicBool::new(false),
            http1_until: AtomicU64::new(0),
            told_at: AtomicU64::new(0),
            hold: by_hand.hold(written.address),
        });
        let connections = known.id;
        Self::described(written, terms, known, connections)
    }

    /// The endpoint that is known already, as it is described now.
    pub(super) fn again(&self, written: &Found, terms: &Terms<'_>) -> Self {
        let same = is_same(self.tls.as_ref(), terms.tls) && (terms.tls.is_none() || self.name == written.name);
        if !same {
            self.known.http1_until.store(0, Ordering::Relaxed);
        }
        let connections = if same { self.connections } else { fresh_id() };
        Self::described(written, terms, self.known.clone(), connections)
    }

    fn described(written: &Found, terms: &Terms<'_>, known: Arc<Known>, connections: u64) -> Self {
        let text: Box<str> = written.address.to_string().into();
        let authority = written.name.as_ref().map(|name| name.authority(terms.tls.is_some()).into());
        Self {
            address: written.address,
            authority: authority.unwrap_or_else(|| text.clone()),
            text,
            name: written.name.clone(),
            version: written.version.as_ref().and_then(|version| HeaderValue::from_str(version).ok()),
            written_weight: written.weight,
            protocol: terms.protocol,
            tls: terms.tls.cloned(),
            connections,
            known,
        }
    }

    /// Names it for as long as it belongs to its pool.
    pub(crate) fn id(&self) -> u64 {
        self.known.id
    }

    /// Names whom a connection to it leads to: another number once its authority, its name or what it is shown has changed, so that no
    /// connection from before is used again.
    pub(crate) fn connections(&self) -> u64 {
        self.connections
    }

    /// How it is spoken to over TLS; none for one that is spoken to in clear text.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_deref()
    }

    /// The Host that it is sent in place of the client's: over TLS its name, where it was found under one.
    pub(crate) fn own_host(&self) -> Option<&str> {
        (self.tls.is_some() && self.name.is_some()).then_some(&self.authority)
    }

    /// What its certificate has to be for where its upstream says nothing of that: its name, else its address.
    pub(crate) fn server_name(&self) -> ServerName<'static> {
        let named = self.name.as_ref().and_then(|name| ServerName::try_from(name.server_name().to_owned()).ok());
        named.unwrap_or_else(|| ServerName::from(self.address.ip().to_canonical()))
    }

    /// It does not speak HTTP/2, though it might: it is not asked again for a while.
    pub(crate) fn note_http1(&self) {
        self.known.http1_until.store(process_millis() + REMEMBERED.as_millis() as u64, Ordering::Relaxed);
    }

    /// Whether it is known to speak HTTP/1.1 alone.
    pub(crate) fn speaks_http1(&self) -> bool {
        let until = self.known.http1_until.load(Ordering::Relaxed);
        until > 0 && process_millis() < until
    }

    /// It has taken offence at being asked whether it lives.
    pub(crate) fn spare(&self) {
        self.known.spared.store(true, Ordering::Relaxed);
    }

    /// Whether it is asked seldom.
    pub(crate) fn is_spared(&self) -> bool {
        self.known.spared.load(Ordering::Relaxed)
    }

    /// Whether it takes requests at this time, where it has a weight.
    pub(super) fn is_usable(&self, now: u64) -> bool {
        let known = &self.known;
        !known.unhealthy.load(Ordering::Relaxed) && known.ejected_until.load(Ordering::Relaxed) <= now && !known.hold.is_drained(now)
    }

    /// Whether it was taken out by hand.
    pub(super) fn is_drained(&self, now: u64) -> bool {
        self.known.hold.is_drained(now)
    }

    /// Its share of the requests beside the others' weights: as it is written, or as it was set by hand.
    pub(super) fn weight(&self, now: u64) -> u32 {
        self.known.hold.weight(now).unwrap_or(self.written_weight)
    }

    /// When time alone changes next whether it takes requests, and how many.
    pub(super) fn changes_at(&self, now: u64) -> Option<u64> {
        let ejected = Some(self.known.ejected_until.load(Ordering::Relaxed)).filter(|until| *until > now);
        [ejected, self.known.hold.ends(now)].into_iter().flatten().min()
    }

    /// What is known of it.
    pub(super) fn state(&self, now: u64) -> EndpointState {
        let known = &self.known;
        match (known.unhealthy.load(Ordering::Relaxed), known.ejected_until.load(Ordering::Relaxed) > now) {
            _ if known.hold.is_drained(now) => EndpointState::Drained,
            (true, _) => EndpointState::Unhealthy,
            (false, true) => EndpointState::Ejected,
            (false, false) => EndpointState::Healthy,
        }
    }

    /// How many requests it has.
    pub(super) fn in_flight(&self) -> u64 {
        self.known.in_flight.load(Ordering::Relaxed)
    }
}
