//! Who a request counts against, as a hash under a secret of the process: nobody can choose keys that meet in one place.

use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use pingora_http::RequestHeader;

use super::config::OnMissingKey;
use crate::filter::Facts;
use crate::filter::pseudonym::Part;
use crate::words::selector::Selector;

/// How requests are told apart.
pub struct Keys {
    parts: Box<[Selector]>,
    on_missing: OnMissingKey,
    /// A hash for each tier, with the secret and the tier in it.
    begun: Box<[DefaultHasher]>,
}

/// Who a request counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Whoever this is.
    Known(u64),
    /// Its address, since it lacks a part of the key.
    Address(u64),
    /// Nobody: it lacks a part of the key and passes uncounted.
    Exempt,
    /// Nobody: it lacks a part of the key and is refused.
    Missing,
}

impl Keys {
    /// Keys of these parts in this many tiers, under a secret of their own.
    pub fn new(parts: Box<[Selector]>, on_missing: OnMissingKey, tiers: usize) -> Self {
        let secret = RandomState::new();
        let begin = |tier| {
            let mut hasher = secret.build_hasher();
            hasher.write_usize(tier);
            hasher
        };
        Self { parts, on_missing, begun: (0..tiers).map(begin).collect() }
    }

    /// The request's key in this tier: each tier has its own account.
    pub fn of(&self, head: &RequestHeader, facts: &Facts, tier: usize) -> Key {
        let mut hasher = self.begun[tier].clone();
        for part in &self.parts {
            if *part == Selector::ClientIp {
                address(&mut hasher, facts.client_ip);
                continue;
            }
            match part.find(head, facts) {
                // With its length, so that `ab`, `c` is not `a`, `bc`.
                Some(text) => {
                    hasher.write_usize(text.len());
                    hasher.write(&text);
                }
                None => return self.missing(facts, tier),
            }
        }
        Key::Known(hasher.finish())
    }

    fn missing(&self, facts: &Facts, tier: usize) -> Key {
        match self.on_missing {
            OnMissingKey::Allow => Key::Exempt,
            OnMissingKey::Reject => Key::Missing,
            OnMissingKey::ClientIp => {
                let mut hasher = self.begun[tier].clone();
                // No text is as long as this, so no key that is known can be this one.
                hasher.write_usize(usize::MAX);
                address(&mut hasher, facts.client_ip);
                Key::Address(hasher.finish())
            }
        }
    }

    /// Who that is, for the log.
    pub fn parts(&self, head: &RequestHeader, facts: &Facts, key: Key) -> Arc<[Part]> {
        let found = |part: &Selector| part.find(head, facts).unwrap_or_default();
        let part = |part: &Selector| match part {
            Selector::ClientIp => Part::Plain(shown(facts.client_ip)),
            // Words of the protocol and of the configuration.
            Selector::Route | Selector::Device | Selector::Method | Selector::Scheme | Selector::TlsVersion => {
                Part::Plain(String::from_utf8_lossy(&found(part)).into())
            }
            _ => Part::Named(found(part).into()),
        };
        match key {
            Key::Known(_) => self.parts.iter().map(part).collect(),
            Key::Address(_) => [Part::Plain(shown(facts.client_ip))].into(),
            Key::Exempt | Key::Missing => [].into(),
        }
    }

    /// The key in words, for `explain`.
    pub fn describe(&self, head: &RequestHeader, facts: &Facts) -> String {
        let part = |part: &Selector| match (part, facts.client_ip) {
            (Selector::ClientIp, IpAddr::V6(ip)) => format!("client_ip={ip} (its /64)"),
            _ => match part.find(head, facts) {
                Some(value) => format!("{part}={}", String::from_utf8_lossy(&value)),
                None => format!("{part} is missing"),
            },
        };
        self.parts.iter().map(part).collect::<Vec<_>>().join(", ")
    }
}

/// The address that is counted, as people write it.
fn shown(ip: IpAddr) -> Box<str> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string().into(),
        IpAddr::V6(ip) => format!("{}/64", std::net::Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)).into(),
    }
}

/// An IPv6 client has a whole /64 to choose addresses from, so that is one client.
fn address(hasher: &mut impl Hasher, ip: IpAddr) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => hasher.write_u32(ip.to_bits()),
        IpAddr::V6(ip) => hasher.write_u64((ip.to_bits() >> 64) as u64),
    }
}
