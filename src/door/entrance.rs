//! A listener while it is open: what holds for whoever connects there now, and who has to end when that changes.
//!
//! A reload may change all of it but the address. A connection keeps the terms that it began with; where others are stricter, or only different
//! in what is spoken and who is believed, it ends after the answer that it waits for.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use arc_swap::ArcSwap;
use pingora_core::server::ShutdownWatch;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::accept::Listening;
use super::proxy_line::Introduction;
use super::tls::Kept;
use crate::config::model::{Listener, Protocol};
use crate::telemetry::ListenerMetrics;

/// A listener that is open, on all worker threads.
pub(crate) struct Entrance {
    /// Where it listens, as the configuration says.
    pub address: SocketAddr,
    /// What is counted of it.
    pub metrics: Arc<ListenerMetrics>,
    terms: ArcSwap<Terms>,
    /// The port for HTTPS that every request is sent to; 0 for none. A request asks for it, which finds what holds when it begins.
    redirect: AtomicU16,
    listening: watch::Sender<Listening>,
}

/// What holds for a connection from its first byte to its last.
pub(crate) struct Terms {
    listener: Listener,
    certificates: Option<Arc<Kept>>,
    /// Whether its connections are to end.
    pub ending: Arc<Ending>,
}

/// Whether some connections are to end: between two requests, and after the answers that they wait for.
#[derive(Default)]
pub(crate) struct Ending {
    is_now: AtomicBool,
    told: watch::Sender<bool>,
}

impl Entrance {
    /// A listener that opens as the configuration says, with the certificates that this names.
    pub(crate) fn new(listener: &Listener, certificates: Option<Arc<Kept>>, metrics: Arc<ListenerMetrics>) -> Self {
        let terms = Terms { listener: listener.clone(), certificates, ending: Arc::default() };
        Self {
            address: listener.address,
            metrics,
            redirect: AtomicU16::new(listener.redirect_to_https.map_or(0, NonZeroU16::get)),
            terms: ArcSwap::from_pointee(terms),
            listening: watch::Sender::default(),
        }
    }

    /// What holds for who connects now.
    pub(crate) fn terms(&self) -> Arc<Terms> {
        self.terms.load_full()
    }

    /// The port for HTTPS that every request which comes in here is sent to.
    pub(crate) fn redirect(&self) -> Option<NonZeroU16> {
        NonZeroU16::new(self.redirect.load(Ordering::Relaxed))
    }

    /// From now on this holds. Whether the connections that there are have to end.
    pub(crate) fn change(&self, listener: &Listener, certificates: Option<Arc<Kept>>) -> bool {
        let old = self.terms();
        let stay = are_alike(&old.listener, listener);
        let ending = if stay { old.ending.clone() } else { Arc::default() };
        self.redirect.store(listener.redirect_to_https.map_or(0, NonZeroU16::get), Ordering::Relaxed);
        self.terms.store(Arc::new(Terms { listener: listener.clone(), certificates, ending }));
        if !stay {
            old.ending.end();
        }
        !stay
    }

    /// Whether it is accepted on, from now on and for whoever accepts there.
    pub(crate) fn listening(&self) -> watch::Receiver<Listening> {
        self.listening.subscribe()
    }

    /// It is not accepted on any more, and its connections end.
    pub(crate) fn close(&self, how: Listening) {
        self.listening.send_replace(how);
        self.terms().ending.end();
    }
}

/// Whether connections of the one may stay under the other: the same is spoken, and the same are believed. Certificates are looked at when
/// connections begin, and where requests are sent is asked for each.
fn are_alike(old: &Listener, new: &Listener) -> bool {
    lasting(old) == lasting(new)
}

/// What connections of a listener depend on for as long as they last: what is spoken, what is asked of clients, and who is believed.
pub(crate) fn lasting(listener: &Listener) -> Value {
    let spoken = [Protocol::Http1, Protocol::H2].map(|protocol| listener.speaks(protocol));
    let asked = listener.tls.as_ref().map(|tls| json!([tls.min_version, tls.client_auth]));
    let believed =
        listener.proxy_protocol.as_ref().map(|proxies| proxies.from.iter().map(|network| network.0.to_string()).collect::<Vec<_>>());
    json!([spoken, asked, believed])
}

impl Terms {
    /// Whether HTTP/2 is spoken beside HTTP/1, in clear text with prior knowledge.
    pub(super) fn h2(&self) -> bool {
        self.listener.speaks(Protocol::H2)
    }

    /// How handshakes are made; nothing where clear text is spoken.
    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.certificates.as_ref().map(|kept| kept.config())
    }

    /// How a connection from this address begins.
    pub(super) fn introduction(&self, from: IpAddr) -> Introduction {
        match &self.listener.proxy_protocol {
            None => Introduction::None,
            Some(proxies) if proxies.from.iter().any(|network| network.0.contains(&from)) => Introduction::Required,
            Some(_) => Introduction::Refused,
        }
    }
}

impl Ending {
    /// Whether they are to end.
    pub(crate) fn is_now(&self) -> bool {
        self.is_now.load(Ordering::Relaxed)
    }

    /// Tells all of them.
    pub(crate) fn end(&self) {
        self.is_now.store(true, Ordering::Relaxed);
        self.told.send_replace(true);
    }

    /// Tells when they are to end.
    pub(super) fn watch(&self) -> ShutdownWatch {
        self.told.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    fn listener(more: &str) -> Listener {
        let text = format!(
            "version: 1\nserver: {{listeners: [{{address: 127.0.0.1:0, {more}}}]}}\nroutes: [{{name: a, path: /a, respond: {{}}}}]\n"
        );
        let loaded = load_text("a.yaml", &text).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        loaded.config.server.listeners[0].value.clone()
    }

    #[test]
    fn connections_stay_where_the_same_is_spoken_with_the_same_people() {
        let tls = "tls: {cert: a.pem, key: a.key}";
        for (old, new) in [
            ("", "protocols: [http1]"),
            ("", "redirect_to_https: 8443"),
            (tls, "tls: {cert: b.pem, key: b.key}"),
            (tls, "tls: {cert: a.pem, key: a.key}, protocols: [http1, h2]"),
            ("proxy_protocol: {from: [10.0.0.0/8]}", "proxy_protocol: {from:   [10.0.0.0/8]}"),
        ] {
            assert!(are_alike(&listener(old), &listener(new)), "{old} and {new}");
        }
        for (old, new) in [
            ("", tls),
            ("", "protocols: [h2, http1]"),
            (tls, "tls: {cert: a.pem, key: a.key, min_version: \"1.3\"}"),
            (tls, "tls: {cert: a.pem, key: a.key, client_auth: {ca: c.pem, mode: required}}"),
            (tls, "tls: {cert: a.pem, key: a.key}, protocols: [h2]"),
            ("", "proxy_protocol: {from: [10.0.0.0/8]}"),
            ("proxy_protocol: {from: [10.0.0.0/8]}", "proxy_protocol: {from: [10.0.0.0/9]}"),
        ] {
            assert!(!are_alike(&listener(old), &listener(new)), "{old} and {new}");
        }
    }

    #[test]
    fn a_change_ends_who_is_there_and_nobody_who_comes_later() {
        let plain = listener("");
        let entrance = Entrance::new(&plain, None, Arc::default());
        let first = entrance.terms();

        assert!(!entrance.change(&listener("redirect_to_https: 8443"), None));
        assert_eq!(entrance.redirect(), NonZeroU16::new(8443));
        assert!(!first.ending.is_now());

        assert!(entrance.change(&listener("protocols: [h2, http1]"), None));
        assert_eq!(entrance.redirect(), None);
        assert!(first.ending.is_now() && *first.ending.watch().borrow());
        let second = entrance.terms();
        assert!(second.h2() && !second.ending.is_now());

        entrance.close(Listening::Ends);
        assert!(second.ending.is_now());
        assert_eq!(*entrance.listening().borrow(), Listening::Ends);
    }
}
