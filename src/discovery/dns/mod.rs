//! Names and what they lead to: the table of hosts, then the DNS, asked in the background and never by a request.
//!
//! Servers, search domains and options are the machine's, unless `server.dns` says others. Servers are asked as the C library asks them: in
//! their order, the next one where one is silent or cannot tell. That a name does not exist, or has no address, is an answer; so is what only
//! one family of addresses has.

mod follow;
mod server;
mod system;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::proto::rr::{RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::sync::watch;

use follow::{News, Source, Wanted, follow};
use server::{Reply, Server};
pub(crate) use system::Places;
use system::{Contents, Hosts, Rules};

use super::{Part, Reporter};
use crate::config::model::{Discover, Name, Upstream};

/// How often the machine's files are looked at, and how long what they say counts as fresh.
const LOOK: Duration = Duration::from_secs(2);

/// How long an answer counts at most where nothing is said of that.
const REFRESH: Duration = Duration::from_secs(30);

/// What resolves names, for the whole gateway over all its configurations.
pub(crate) struct Dns {
    state: Mutex<State>,
    /// Counts the changes of what names may lead to for a reason other than time.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    places: Places,
    /// None until somebody asks.
    current: Option<Arc<Current>>,
}

/// Everything that an answer is made of.
struct Current {
    contents: Contents,
    hosts: Hosts,
    rules: Rules,
    servers: Box<[Server]>,
    /// The server that is asked first where they take turns.
    turn: AtomicUsize,
}

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer<T> {
    /// This, for so long.
    Found(T, Duration),
    /// It is certain that there is nothing, for this reason.
    Nothing(&'static str),
    /// Nobody could tell, for this reason.
    Unknown(String),
}

/// The addresses of a host, each family by itself; none where only that family is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Families {
    v4: Option<Vec<IpAddr>>,
    v6: Option<Vec<IpAddr>>,
}

/// Where a service is to be had (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Service {
    priority: u16,
    weight: u16,
    port: u16,
    /// The whole name of a host.
    target: String,
    /// Its addresses, where the answer brought some.
    addresses: Vec<IpAddr>,
}

impl Dns {
    /// Nothing is read or asked before somebody wants to know something.
    pub(crate) fn new(places: Places) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { places, current: None }), changes: watch::Sender::new(0) })
    }

    /// From now on names are resolved in this way.
    pub(crate) fn set(&self, places: Places) {
        let mut state = self.state.lock();
        if state.places != places {
            *state = State { places, current: None };
            drop(state);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Looks after the machine's files for as long as the runtime lives, where anybody follows a name.
    pub(crate) async fn watch_files(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            if self.changes.receiver_count() > 0 {
                self.look().await;
            }
        }
    }

    /// Reads the machine's files, and uses what they say.
    async fn look(&self) -> Arc<Current> {
        let (places, before) = {
            let state = self.state.lock();
            (state.places.clone(), state.current.clone())
        };
        let reading = places.clone();
        let read = move || Contents::read(&reading, before.as_ref().map(|current| &current.contents));
        let contents = tokio::task::spawn_blocking(read).await.unwrap_or_default();
        let mut state = self.state.lock();
        if let Some(same) = state.current.as_ref().filter(|current| current.contents == contents) {
            return same.clone();
        }
        let is_first = state.current.is_none();
        let next = Arc::new(Current::new(contents, &places));
        if state.places == places {
            state.current = Some(next.clone());
        }
        drop(state);
        if !is_first {
            self.changes.send_modify(|count| *count += 1);
        }
        next
    }

    async fn current(&self) -> Arc<Current> {
        let known = self.state.lock().current.clone();
        match known {
            Some(current) => current,
            None => self.look().await,
        }
    }

    /// The addresses of a host: as the machine's table has them, else as the DNS has them. One that begins with no dot and ends with none is
    /// tried in the search domains.
    pub(crate) async fn addresses(&self, host: &str) -> Answer<Families> {
        let current = self.current().await;
        if let Some(addresses) = current.hosts.addresses(host) {
            return Answer::Found(Families::of(addresses), LOOK);
        }
        if is_local(host) {
            return Answer::Found(Families::of(&[Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]), LOOK);
        }
        let (mut nothing, mut unknown) = ("it does not exist", None);
        for name in current.rules.candidates(host) {
            let (v4, v6) = tokio::join!(current.ask(&name, RecordType::A), current.ask(&name, RecordType::AAAA));
            let ttl = [&v4, &v6].into_iter().filter_map(Reply::ttl).min();
            if let Some(ttl) = ttl {
                return Answer::Found(Families { v4: v4.addresses(), v6: v6.addresses() }, ttl);
            }
            for reply in [v4, v6] {
                match reply {
                    Reply::Silent(why) => return Answer::Unknown(why),
                    Reply::Failure(why) => unknown = Some(why),
                    Reply::Empty => nothing = "it has no address",
                    Reply::Records(..) | Reply::NoName => {}
                }
            }
        }
        unknown.map_or(Answer::Nothing(nothing), Answer::Unknown)
    }

    /// The addresses that a connection to this host is worth trying at, where it may be an address itself; the error says why there are none.
    pub(crate) async fn connectable(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse() {
            return Ok(vec![address]);
        }
        match self.addresses(&host.to_ascii_lowercase()).await {
            Answer::Found(families, _) => Ok(follow::with_route(families.all())),
            Answer::Nothing(why) => Err(why.to_owned()),
            Answer::Unknown(why) => Err(why),
        }
    }

    /// Where a service is to be had, as its SRV records say.
    async fn services(&self, name: &str) -> Answer<Vec<Service>> {
        let current = self.current().await;
        let mut unknown = None;
        for name in current.rules.candidates(name) {
            match current.ask(&name, RecordType::SRV).await {
                Reply::Records(records, additional, ttl) => return Answer::Found(services(&records, &additional), ttl),
                Reply::Silent(why) => return Answer::Unknown(why),
                Reply::Failure(why) => unknown = Some(why),
                Reply::Empty | Reply::NoName => {}
            }
        }
        unknown.map_or(Answer::Nothing("it has no SRV records"), Answer::Unknown)
    }
}

/// Whether this name means this machine, whatever a server would say (RFC 6761, section 6.3).
fn is_local(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host == "localhost" || host.ends_with(".localhost")
}

/// The sources of an upstream's endpoints that are names.
pub(crate) fn parts(upstream: &Upstream, dns: &Arc<Dns>) -> Vec<Part> {
    let named = upstream.endpoints.iter().filter_map(|endpoint| {
        let source = Source::Host(endpoint.address.name()?.clone());
        let version = endpoint.version.as_ref().map(|version| version.value.clone());
        Some(Wanted { source, refresh: REFRESH, weight: endpoint.weight, version })
    });
    named.chain(upstream.discover.as_ref().and_then(|discover| discovered(discover))).map(|wanted| part(wanted, dns)).collect()
}

/// What the endpoints that `discover` finds are called over TLS.
pub(crate) fn host(discover: &Discover) -> Option<String> {
    match discovered(discover)?.source {
        Source::Host(name) => Some(name.authority(true)),
        Source::Service(name) => Some(format!("{} with the port of its record", follow::domain(&name))),
    }
}

/// What `discover` asks the DNS for.
fn discovered(discover: &Discover) -> Option<Wanted> {
    let source = match (&discover.dns, &discover.port, &discover.dns_srv) {
        (Some(host), Some(port), _) => Source::Host(Name { host: host.to_ascii_lowercase().into(), port: port.value }),
        (_, _, Some(service)) => Source::Service(service.to_ascii_lowercase().into()),
        _ => return None,
    };
    let refresh = discover.refresh.as_ref().map_or(REFRESH, |refresh| refresh.0);
    Some(Wanted { source, refresh, weight: 1, version: None })
}

fn part(wanted: Wanted, dns: &Arc<Dns>) -> Part {
    let dns = dns.clone();
    Part {
        source: format!("dns {}", wanted.source),
        identity: format!("{wanted:?}"),
        patience: wanted.refresh,
        run: Arc::new(move |reporter: Reporter| {
            let tell = move |news| match news {
                News::Found(endpoints) => reporter.found(endpoints),
                News::Failed(why) => reporter.failed(why),
            };
            Box::pin(follow(dns.clone(), wanted.clone(), tell))
        }),
    }
}

impl Families {
    fn of(addresses: &[IpAddr]) -> Self {
        let (v4, v6) = addresses.iter().partition(|address| address.is_ipv4());
        Self { v4: Some(v4), v6: Some(v6) }
    }

    /// What `before` knew stands where this does not know.
    fn or(self, before: &Self) -> Self {
        Self { v4: self.v4.or_else(|| before.v4.clone()), v6: self.v6.or_else(|| before.v6.clone()) }
    }

    /// All of them that can be connected to, each once. No address in particular is no host's (a name that leads to `0.0.0.0` is blocked).
    pub(crate) fn all(&self) -> Vec<IpAddr> {
        let mut all: Vec<IpAddr> = Vec::new();
        for address in self.v4.iter().chain(&self.v6).flatten().map(IpAddr::to_canonical) {
            if !address.is_unspecified() && !address.is_multicast() && !all.contains(&address) {
                all.push(address);
            }
        }
        all
    }
}

impl Current {
    fn new(contents: Contents, places: &Places) -> Self {
        let (hosts, rules) = (contents.hosts(), contents.rules(places));
        let servers = rules.servers.iter().map(|address| Server::new(*address, rules.timeout)).collect();
        Self { contents, hosts, rules, servers, turn: AtomicUsize::new(0) }
    }

    /// Asks one server after the other for the records of this whole name.
    async fn ask(&self, name: &str, kind: RecordType) -> Reply {
        let first = if self.rules.rotate { self.turn.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let mut last = Reply::Silent("there is no DNS server".to_owned());
        for _ in 0..self.rules.attempts {
            let mut servers: Vec<&Server> =
                (0..self.servers.len()).map(|index| &self.servers[(first + index) % self.servers.len()]).collect();
            // One that was silent lately is not waited for while there is another.
            servers.sort_by_key(|server| server.is_silent());
            for server in servers {
                let reply = server.ask(name, kind).await;
                if !matches!(reply, Reply::Silent(_) | Reply::Failure(_)) {
                    return reply;
                }
                last = reply;
            }
        }
        last
    }
}

/// The services in an answer, with the addresses that came along.
fn services(records: &[Record], additional: &[Record]) -> Vec<Service> {
    let services = records.iter().filter_map(|record| {
        let RData::SRV(srv) = &record.data else { return None };
        // The root: the service is decidedly not to be had.
        if srv.target.is_root() {
            return None;
        }
        let addresses = additional.iter().filter(|record| record.name == srv.target).filter_map(server::address).collect();
        let target = srv.target.to_ascii().to_ascii_lowercase();
        Some(Service { priority: srv.priority, weight: srv.weight, port: srv.port, target, addresses })
    });
    services.collect()
}
