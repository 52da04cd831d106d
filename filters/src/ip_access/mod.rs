//! `ip_access`: which client addresses may come in.
//!
//! ```yaml
//! office:
//!   ip_access: {allow: [192.0.2.0/24, "2001:db8::/32"], deny: [192.0.2.13]}
//! ```
//!
//! The address is the client's as the gateway knows it, from the connection or from proxies that are trusted. `deny` wins; where there is an
//! `allow` list, an address that is in neither is denied, too.

use std::net::IpAddr;
use std::sync::Arc;

use http::StatusCode;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::count::metrics::Families;
use crate::count::stripe::Counter;
use crate::filter::build::Build;
use crate::filter::options::Options;
use crate::filter::{Filter, Request, Verdict};
use crate::reply::Reply;
use crate::words::network::Network;
use crate::words::spanned::{Problem, Spanned};

/// The options of `ip_access`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Networks and addresses that may come in; by default all that are not denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<Spanned<Network>>>,
    /// Networks and addresses that may not, even where `allow` has them.
    pub deny: Vec<Spanned<Network>>,
}

impl Options for Config {
    fn build(&self, with: &Build<'_>) -> Result<Arc<dyn Filter>, String> {
        with.kept_or(|| Ok(IpAccess::new(self, with.name, with.metrics)))
    }

    fn problems(&self) -> Vec<Problem> {
        let lists = self.allow.iter().flatten().chain(&self.deny);
        let bits = |network: &&Spanned<Network>| network.0.addr() != network.0.network();
        let mut problems: Vec<Problem> = lists
            .filter(bits)
            .map(|network| Problem::at(network.place, format!("`{}` has host bits set: the network is `{}`", network.0, network.0.trunc())))
            .collect();
        if let Some(allow) = &self.allow
            && allow.is_empty()
        {
            problems.push(Problem::at(
                self.deny.first().map_or_else(Default::default, |first| first.place),
                "`allow` is empty: nobody could come in",
            ));
        }
        problems
    }

    fn does_nothing(&self) -> bool {
        self.allow.is_none() && self.deny.is_empty()
    }

    fn can_refuse(&self) -> bool {
        true
    }
}

/// The compiled filter.
pub struct IpAccess {
    allow: Option<Set>,
    deny: Set,
    allowed: Counter,
    denied: Counter,
}

/// Addresses, as ranges that do not touch each other, in order: looked up by halves.
struct Set {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Set {
    fn new<'n>(networks: impl Iterator<Item = &'n Network>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for Network(net) in networks {
            match net.trunc() {
                IpNet::V4(net) => v4.push((u32::from(net.network()), u32::from(net.broadcast()))),
                // Addresses that are mapped are looked up as what they stand for.
                IpNet::V6(net) => match net.network().to_ipv4_mapped() {
                    Some(first) if net.prefix_len() >= 96 => {
                        let size = (1_u64 << (128 - net.prefix_len())) - 1;
                        v4.push((u32::from(first), u32::from(first) + size as u32));
                    }
                    _ => v6.push((u128::from(net.network()), u128::from(net.broadcast()))),
                },
            }
        }
        Self { v4: united(v4), v6: united(v6) }
    }

    fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => within(&self.v4, u32::from(address)),
            IpAddr::V6(address) => within(&self.v6, u128::from(address)),
        }
    }
}

/// Ranges in order, those that overlap as one.
fn united<N: Copy + Ord>(mut ranges: Vec<(N, N)>) -> Box<[(N, N)]> {
    ranges.sort_unstable();
    let mut united: Vec<(N, N)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match united.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => united.push((first, last)),
        }
    }
    united.into()
}

fn within<N: Copy + Ord>(ranges: &[(N, N)], address: N) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after > 0 && address <= ranges[after - 1].1
}

impl IpAccess {
    /// Compiles the options.
    pub fn new(config: &Config, name: &str, metrics: &Families) -> Self {
        let decisions = metrics.counters("ip_access_decisions_total", "Decisions of ip_access.", &["filter", "decision"]);
        let handle = |decision: &str| decisions.with_label_values(&[name, decision]);
        let allow = config.allow.as_ref().map(|list| Set::new(list.iter().map(|network| &network.value)));
        Self { allow, deny: Set::new(config.deny.iter().map(|network| &network.value)), allowed: handle("allow"), denied: handle("deny") }
    }

    /// Why this address may not come in.
    fn refusal(&self, address: IpAddr) -> Option<&'static str> {
        if self.deny.contains(address) {
            Some("denied")
        } else if self.allow.as_ref().is_some_and(|allow| !allow.contains(address)) {
            Some("not_allowed")
        } else {
            None
        }
    }
}

impl Filter for IpAccess {
    fn request<'a>(&'a self, request: &'a mut Request<'_>) -> Verdict<'a> {
        let address = request.facts.client_ip;
        let refusal = self.refusal(address);
        if !request.is_explained() {
            if refusal.is_none() {
                self.allowed.inc()
            } else {
                self.denied.inc()
            };
        }
        let Some(why) = refusal else {
            request.because(|| format!("{address} may come in"));
            return Verdict::Continue;
        };
        request.facts.reason = why;
        request.because(|| match why {
            "denied" => format!("{address} is on the `deny` list"),
            _ => format!("{address} is not on the `allow` list"),
        });
        Verdict::Reply(Reply::problem(StatusCode::FORBIDDEN, "address_denied", "This address is not allowed here."))
    }
}

#[cfg(test)]
mod tests;
