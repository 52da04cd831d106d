//! One DNS server, and what it says of a name.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use parking_lot::Mutex;

/// For how long a server that was silent is asked after the others.
const SILENT: Duration = Duration::from_secs(30);

/// A server, asked over UDP, and over TCP for what UDP does not carry.
pub(super) struct Server {
    address: SocketAddr,
    timeout: Duration,
    /// None where it cannot be made, which is not known to happen.
    resolver: Option<TokioResolver>,
    silent_since: Mutex<Option<Instant>>,
}

/// What a server says.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// The records, those that came along, and how long they hold.
    Records(Vec<Record>, Vec<Record>, Duration),
    /// The name exists and has no such records.
    Empty,
    /// There is no such name.
    NoName,
    /// The server cannot tell, for this reason.
    Failure(String),
    /// The server does not answer, for this reason.
    Silent(String),
}

impl Server {
    /// It may take so long for each question.
    pub(super) fn new(address: SocketAddr, timeout: Duration) -> Self {
        let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
        connections.iter_mut().for_each(|connection| connection.port = address.port());
        let config = ResolverConfig::from_name_servers(vec![NameServerConfig::new(address.ip(), true, connections)]);
        let mut options = ResolverOpts::default();
        options.timeout = timeout;
        // Who asks the next server is here; and what was answered is not asked for again before its time.
        options.attempts = 0;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        let resolver = Resolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options).build();
        Self { address, timeout, resolver: resolver.ok(), silent_since: Mutex::new(None) }
    }

    /// Whether it did not answer lately.
    pub(super) fn is_silent(&self) -> bool {
        self.silent_since.lock().is_some_and(|since| since.elapsed() < SILENT)
    }

    /// Asks it for the records of this whole name.
    pub(super) async fn ask(&self, name: &str, kind: RecordType) -> Reply {
        let reply = self.reply(name, kind).await;
        *self.silent_since.lock() = matches!(reply, Reply::Silent(_)).then(Instant::now);
        reply
    }

    async fn reply(&self, name: &str, kind: RecordType) -> Reply {
        let Some(resolver) = &self.resolver else { return Reply::Silent(format!("the DNS server {} cannot be asked", self.address)) };
        let Ok(mut name) = Name::from_ascii(name) else { return Reply::NoName };
        name.set_fqdn(true);
        // The resolver keeps this time itself; nobody waits for ever if it does not.
        let asked = tokio::time::timeout(self.timeout * 2, resolver.lookup(name, kind)).await;
        let found = match asked.unwrap_or(Err(NetError::Timeout)) {
            Ok(found) => found,
            Err(error) => return self.failure(&error),
        };
        let records: Vec<Record> = found.answers().iter().filter(|record| record.record_type() == kind).cloned().collect();
        if records.is_empty() {
            return Reply::Empty;
        }
        let aliases = found.answers().iter().filter(|record| record.record_type() == RecordType::CNAME);
        let ttl = records.iter().chain(aliases).map(|record| record.ttl).min().unwrap_or_default();
        Reply::Records(records, found.additionals().to_vec(), Duration::from_secs(ttl.into()))
    }

    fn failure(&self, error: &NetError) -> Reply {
        let address = self.address;
        match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
                ResponseCode::NXDomain => Reply::NoName,
                ResponseCode::NoError => Reply::Empty,
                code => Reply::Failure(format!("the DNS server {address} answers {}", said(code))),
            },
            NetError::Dns(DnsError::ResponseCode(code)) => Reply::Failure(format!("the DNS server {address} answers {}", said(*code))),
            NetError::Timeout => Reply::Silent(format!("the DNS server {address} does not answer in time")),
            NetError::Io(_) | NetError::NoConnections => Reply::Silent(format!("the DNS server {address} cannot be reached")),
            _ => Reply::Silent(format!("the DNS server {address} cannot be understood")),
        }
    }
}

impl Reply {
    /// How long its records hold, where it has some.
    pub(super) fn ttl(&self) -> Option<Duration> {
        match self {
            Self::Records(.., ttl) => Some(*ttl),
            _ => None,
        }
    }

    /// The addresses in it; none where that is not known.
    pub(super) fn addresses(&self) -> Option<Vec<IpAddr>> {
        match self {
            Self::Records(records, ..) => Some(records.iter().filter_map(address).collect()),
            Self::Empty | Self::NoName => Some(Vec::new()),
            Self::Failure(_) | Self::Silent(_) => None,
        }
    }
}

/// The address that a record has.
pub(super) fn address(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    }
}

/// A refusal, as those who look after DNS know it (RFC 1035, section 4.1.1).
fn said(code: ResponseCode) -> String {
    match code {
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        other => other.to_str().to_ascii_uppercase(),
    }
}
