//! One name, followed for as long as somebody wants to know: what it leads to now, and again when that is over.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Answer, Dns, Families, Service};
use crate::config::model::Name;
use crate::upstream::Found;

/// No answer counts for less.
const SHORTEST: Duration = Duration::from_secs(1);

/// How many hosts of a service are asked for at once.
const AT_ONCE: usize = 16;

/// How long this machine may take to take a connection from itself.
const LOOPBACK: Duration = Duration::from_millis(250);

/// What is to be followed, and what its endpoints are like.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    /// What leads to them.
    pub source: Source,
    /// No answer counts for longer.
    pub refresh: Duration,
    /// The weight of each endpoint; of those of a service their records say it.
    pub weight: u32,
    /// The version of each.
    pub version: Option<String>,
}

/// What leads to endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A host's name: each of its addresses, at this port.
    Host(Name),
    /// A service's name, as `_http._tcp.shop.internal`.
    Service(Arc<str>),
}

/// What became of asking.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum News {
    /// These, and no others.
    Found(Vec<Found>),
    /// Nobody could tell, for this reason. The name has been missed from the beginning, or what was found before holds.
    Failed(String),
}

/// Follows a name for as long as it is awaited, and tells what becomes of it.
///
/// An answer counts for as long as it says, from a second to `refresh`; where there was none, the next attempt is soon, and then less soon.
/// A family of addresses of which nothing is known keeps those it had.
pub(super) async fn follow(dns: Arc<Dns>, wanted: Wanted, tell: impl Fn(News)) {
    let mut changes = dns.changes.subscribe();
    let mut held = Held::default();
    let (mut in_vain, mut was_there) = (0_u32, false);
    loop {
        changes.mark_unchanged();
        let answer = match &wanted.source {
            Source::Host(name) => host(&dns, name, &mut held).await,
            Source::Service(name) => service(&dns, name, &mut held).await,
        };
        let lasts = match &answer {
            Answer::Found(_, ttl) => *ttl,
            Answer::Nothing(_) | Answer::Unknown(_) => SHORTEST * (1 << in_vain.min(10)),
        };
        let news = match answer {
            Answer::Found(found, _) => {
                (in_vain, was_there) = (0, true);
                News::Found(found.into_iter().map(|place| place.like(&wanted)).collect())
            }
            Answer::Nothing(why) => {
                in_vain = in_vain.saturating_add(1);
                if was_there { News::Found(Vec::new()) } else { News::Failed(why.to_owned()) }
            }
            Answer::Unknown(why) => {
                in_vain = in_vain.saturating_add(1);
                News::Failed(why)
            }
        };
        tell(news);
        let pause = lasts.min(wanted.refresh).max(SHORTEST);
        // Whatever else has changed: the sender is here.
        let _ = tokio::time::timeout(pause, changes.changed()).await;
    }
}

/// What was known of hosts when they were asked for last.
type Held = HashMap<String, Families>;

/// An address where something listens.
struct Place {
    address: SocketAddr,
    weight: Option<u32>,
    name: Name,
}

impl Place {
    fn like(self, wanted: &Wanted) -> Found {
        let weight = self.weight.unwrap_or(wanted.weight);
        Found { address: self.address, weight, version: wanted.version.clone(), name: Some(self.name) }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => name.fmt(f),
            Self::Service(name) => name.fmt(f),
        }
    }
}

async fn host(dns: &Dns, name: &Name, held: &mut Held) -> Answer<Vec<Place>> {
    let (addresses, ttl) = match dns.addresses(&name.host).await {
        Answer::Found(families, ttl) => {
            let families = families.or(&held.remove(&*name.host).unwrap_or_default());
            let addresses = families.all();
            held.insert(name.host.to_string(), families);
            (addresses, ttl)
        }
        Answer::Nothing(why) => {
            held.clear();
            return Answer::Nothing(why);
        }
        Answer::Unknown(why) => return Answer::Unknown(why),
    };
    if addresses.is_empty() {
        return Answer::Nothing("it has no address");
    }
    let addresses = if name.is_local() { one_of_both(addresses, name.port).await } else { with_route(addresses) };
    let places = addresses.into_iter().map(|ip| Place { address: SocketAddr::new(ip, name.port), weight: None, name: name.clone() });
    Answer::Found(places.collect(), ttl)
}

/// The hosts of a service whose priority is the lowest number of those that have an address. Clients name the service itself, not the hosts,
/// which whoever answers for them could choose at will (RFC 9525, section 6.1).
async fn service(dns: &Arc<Dns>, name: &Arc<str>, held: &mut Held) -> Answer<Vec<Place>> {
    let (services, mut ttl) = match dns.services(name).await {
        Answer::Found(services, ttl) => (services, ttl),
        Answer::Nothing(why) => return Answer::Nothing(why),
        Answer::Unknown(why) => return Answer::Unknown(why),
    };
    let domain: Arc<str> = domain(name).into();
    let mut priorities: BTreeMap<u16, Vec<&Service>> = BTreeMap::new();
    services.iter().for_each(|service| priorities.entry(service.priority).or_default().push(service));
    held.retain(|target, _| services.iter().any(|service| service.target == *target));
    let mut unknown = None;
    for services in priorities.into_values() {
        let (shortest, missed) = targets(dns, &services, held).await;
        ttl = shortest.map_or(ttl, |shortest| ttl.min(shortest));
        let unit = unit(&services);
        let mut places = Vec::new();
        for service in services {
            let addresses = held.get(&service.target).map(Families::all).unwrap_or_default();
            let weight = Some((u32::from(service.weight) / unit).max(1));
            places.extend(with_route(addresses).into_iter().map(|ip| Place {
                address: SocketAddr::new(ip, service.port),
                weight,
                name: Name { host: domain.clone(), port: service.port },
            }));
        }
        if !places.is_empty() {
            return Answer::Found(places, ttl);
        }
        unknown = unknown.or(missed);
    }
    // Whether one of the others would be next is not known either.
    unknown.map_or(Answer::Nothing("none of its hosts has an address"), Answer::Unknown)
}

/// Asks for the addresses that did not come along, and holds them. How long they hold, and why one of them is not known.
async fn targets(dns: &Arc<Dns>, services: &[&Service], held: &mut Held) -> (Option<Duration>, Option<String>) {
    let (mut shortest, mut unknown) = (None::<Duration>, None);
    let mut asked: Vec<&str> = Vec::new();
    for service in services {
        if !service.addresses.is_empty() {
            held.insert(service.target.clone(), Families::of(&service.addresses));
        } else if !asked.contains(&service.target.as_str()) {
            asked.push(&service.target);
        }
    }
    for some in asked.chunks(AT_ONCE) {
        let mut asking = JoinSet::new();
        for target in some {
            let (dns, target) = (dns.clone(), (*target).to_owned());
            asking.spawn(async move {
                let answer = dns.addresses(&target).await;
                (target, answer)
            });
        }
        while let Some(answer) = asking.join_next().await {
            match answer {
                Ok((target, Answer::Found(families, ttl))) => {
                    shortest = Some(shortest.map_or(ttl, |shortest| shortest.min(ttl)));
                    let families = families.or(&held.remove(&target).unwrap_or_default());
                    held.insert(target, families);
                }
                Ok((target, Answer::Nothing(_))) => drop(held.remove(&target)),
                // What it had holds.
                Ok((_, Answer::Unknown(why))) => unknown = Some(why),
                Err(_) => {}
            }
        }
    }
    (shortest, unknown)
}

/// What all weights can be divided by. One of 0 counts as little: among others it is chosen now and then (RFC 2782).
fn unit(services: &[&Service]) -> u32 {
    fn common(one: u32, other: u32) -> u32 {
        if other == 0 { one } else { common(other, one % other) }
    }
    services.iter().map(|service| u32::from(service.weight)).fold(0, common).max(1)
}

/// A service's name without the labels that say which service: what its certificates are for.
pub(super) fn domain(service: &str) -> &str {
    let mut rest = service;
    while let Some((_, after)) = rest.split_once('.').filter(|_| rest.starts_with('_')) {
        rest = after;
    }
    rest
}

/// Those that there is a way to from this machine, as programs that open connections themselves choose them (RFC 6724, section 6, rule 1):
/// one without IPv6 is not to lose every second request. All, where there is a way to none: it may be back before the next answer is.
pub(super) fn with_route(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    if addresses.iter().all(IpAddr::is_ipv4) || addresses.iter().all(IpAddr::is_ipv6) {
        return addresses;
    }
    let routed: Vec<IpAddr> = addresses.iter().copied().filter(|address| has_route(*address)).collect();
    if routed.is_empty() { addresses } else { routed }
}

/// Sends nothing: UDP is connected by looking up the way.
fn has_route(address: IpAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, 9))).is_ok()
}

/// This machine has one service at a port, whichever of its own addresses that listens at: those that take a connection, where any does.
async fn one_of_both(addresses: Vec<IpAddr>, port: u16) -> Vec<IpAddr> {
    if addresses.len() < 2 {
        return addresses;
    }
    let mut listening = Vec::new();
    for address in &addresses {
        let connecting = tokio::time::timeout(LOOPBACK, TcpStream::connect((*address, port)));
        if connecting.await.is_ok_and(|connected| connected.is_ok()) {
            listening.push(*address);
        }
    }
    // Nobody is there yet: the first that is there is found with the next look.
    if listening.is_empty() { addresses } else { listening }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(weight: u16) -> Service {
        Service { priority: 0, weight, port: 80, target: "a.".to_owned(), addresses: Vec::new() }
    }

    #[test]
    fn weights_are_divided_by_what_they_have_in_common() {
        let common = |weights: &[u16]| {
            let services: Vec<Service> = weights.iter().map(|weight| service(*weight)).collect();
            unit(&services.iter().collect::<Vec<_>>())
        };

        assert_eq!([common(&[10, 30]), common(&[100, 0, 50]), common(&[0, 0]), common(&[7, 3]), common(&[65535])], [10, 50, 1, 1, 65535]);
    }

    #[test]
    fn the_domain_of_a_service_is_what_its_certificates_are_for() {
        for (service, found) in [
            ("_http._tcp.shop.internal", "shop.internal"),
            ("_shop._tcp.service.consul.", "service.consul."),
            ("shop.service.consul", "shop.service.consul"),
            ("_http._tcp", "_tcp"),
        ] {
            assert_eq!(domain(service), found);
        }
    }

    #[test]
    fn an_address_without_a_way_to_it_is_left_out_while_there_is_another() {
        let loopback: IpAddr = Ipv4Addr::LOCALHOST.into();
        // Multicast of an interface that is not named leads nowhere.
        let nowhere: IpAddr = "fe80::1".parse().expect("an address");

        assert!(has_route(loopback) && !has_route(nowhere));
        assert_eq!(with_route(vec![nowhere, loopback]), [loopback]);
        assert_eq!(with_route(vec![nowhere]), [nowhere]);
    }
}
