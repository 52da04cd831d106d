//! What this machine says of names: `/etc/hosts` and `/etc/resolv.conf`, read again once they have other contents.

use std::collections::HashMap;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use frontgate_filters::words::spanned::Spanned;

use crate::config::Loaded;

/// More of a file is not read.
const LARGEST: u64 = 4 << 20;

/// Where the machine's word is found, and what stands in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// The table of hosts.
    pub hosts: PathBuf,
    /// The servers and search domains, as the C library reads them.
    pub resolv_conf: PathBuf,
    /// The servers to ask in place of those.
    pub servers: Option<Vec<SocketAddr>>,
    /// The domains to search in place of those.
    pub search: Option<Vec<String>>,
}

impl Places {
    /// What a configuration says of them.
    pub(crate) fn of(loaded: &Loaded) -> Self {
        let mut places = Self::default();
        if let Some(dns) = &loaded.config.server.dns {
            places.servers = dns.servers.as_ref().map(|servers| servers.iter().map(|server| server.0).collect());
            let domain = |domain: &Spanned<String>| domain.trim_end_matches('.').to_ascii_lowercase();
            places.search = dns.search.as_ref().map(|domains| domains.iter().map(domain).collect());
            if let Some(hosts) = &dns.hosts {
                places.hosts = loaded.resolve_path(hosts.place, hosts);
            }
        }
        places
    }
}

impl Default for Places {
    fn default() -> Self {
        Self { hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into(), servers: None, search: None }
    }
}

/// What both files said when they were read last.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    hosts: Text,
    resolv_conf: Text,
}

/// What a file said when it could last be read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Text {
    bytes: Vec<u8>,
    /// Whether it cannot be read any more.
    gone: bool,
}

impl Contents {
    /// A file that can no longer be read says what it said `before`, and one that never could says nothing.
    pub(super) fn read(places: &Places, before: Option<&Self>) -> Self {
        Self {
            hosts: Text::read(&places.hosts, before.map(|before| &before.hosts)),
            resolv_conf: Text::read(&places.resolv_conf, before.map(|before| &before.resolv_conf)),
        }
    }

    /// The table of hosts.
    pub(super) fn hosts(&self) -> Hosts {
        Hosts::parse(&String::from_utf8_lossy(&self.hosts.bytes))
    }

    /// Whom to ask, and how.
    pub(super) fn rules(&self, places: &Places) -> Rules {
        let mut rules = Rules::parse(&String::from_utf8_lossy(&self.resolv_conf.bytes));
        if let Some(servers) = &places.servers {
            rules.servers.clone_from(servers);
        }
        if let Some(search) = &places.search {
            rules.search.clone_from(search);
        }
        rules
    }
}

impl Text {
    fn read(path: &Path, before: Option<&Self>) -> Self {
        let mut bytes = Vec::new();
        let why = match std::fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes)) {
            Ok(_) => return Self { bytes, gone: false },
            Err(why) => why,
        };
        match before.filter(|before| !before.bytes.is_empty()) {
            None => Self::default(),
            Some(before) => {
                if !before.gone {
                    log::warn!("{} cannot be read any more, and what it said last holds: {why}", path.display());
                }
                Self { bytes: before.bytes.clone(), gone: true }
            }
        }
    }
}

/// The addresses of hosts by their names, in lower case (hosts(5)).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hosts(HashMap<Box<str>, Vec<IpAddr>>);

impl Hosts {
    fn parse(text: &str) -> Self {
        let mut hosts: HashMap<Box<str>, Vec<IpAddr>> = HashMap::new();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
            for name in words {
                let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
                let addresses = hosts.entry(name.into()).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        Self(hosts)
    }

    /// The addresses of this host, in the table's order; none where it is not in the table.
    pub(super) fn addresses(&self, host: &str) -> Option<&[IpAddr]> {
        self.0.get(host.strip_suffix('.').unwrap_or(host)).map(Vec::as_slice)
    }
}

/// Whom to ask, and how (resolv.conf(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// In the order in which they are asked.
    pub servers: Vec<SocketAddr>,
    /// The domains that a name is tried in.
    pub search: Vec<String>,
    /// A name with so many dots is tried as it is first.
    pub dots: usize,
    /// How long one server may take.
    pub timeout: Duration,
    /// How often all of them are asked.
    pub attempts: usize,
    /// Whether they take turns.
    pub rotate: bool,
}

impl Rules {
    fn parse(text: &str) -> Self {
        let mut rules =
            Self { servers: Vec::new(), search: Vec::new(), dots: 1, timeout: Duration::from_secs(5), attempts: 2, rotate: false };
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                // An address with a zone names an interface of one machine: nobody's DNS server in practice.
                Some("nameserver") => {
                    rules.servers.extend(words.next().and_then(|word| word.parse().ok()).map(|ip: IpAddr| SocketAddr::new(ip, 53)));
                }
                // The last line counts.
                Some("search" | "domain") => {
                    rules.search =
                        words.map(|word| word.trim_end_matches('.').to_ascii_lowercase()).filter(|word| !word.is_empty()).collect();
                }
                Some("options") => words.for_each(|word| rules.option(word)),
                _ => {}
            }
        }
        if rules.servers.is_empty() {
            rules.servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
        }
        rules
    }

    /// One option, within the C library's bounds; one that it has in addition says nothing here.
    fn option(&mut self, word: &str) {
        let (name, value) = word.split_once(':').unwrap_or((word, ""));
        match (name, value.parse::<u64>()) {
            ("ndots", Ok(dots)) => self.dots = dots.min(15) as usize,
            ("timeout", Ok(seconds)) => self.timeout = Duration::from_secs(seconds.clamp(1, 30)),
            ("attempts", Ok(attempts)) => self.attempts = attempts.clamp(1, 5) as usize,
            ("rotate", _) => self.rotate = true,
            _ => {}
        }
    }

    /// The whole names that a host is tried as, in this order.
    pub(super) fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(whole) = host.strip_suffix('.') {
            return vec![whole.to_owned()];
        }
        let searched = self.search.iter().map(|domain| format!("{host}.{domain}")).filter(|name| name.len() <= 253);
        let as_it_is = std::iter::once(host.to_owned());
        let dots = host.bytes().filter(|byte| *byte == b'.').count();
        if dots >= self.dots { as_it_is.chain(searched).collect() } else { searched.chain(as_it_is).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_hosts_is_read_as_other_programs_read_it() {
        let hosts = Hosts::parse(
            "# a comment\n127.0.0.1\tlocalhost\n::1 localhost ip6-localhost\n10.0.0.7  Users.Internal users # who\n\
             10.0.0.8 users.internal.\n10.0.0.8 users.internal\nnonsense line\nfe80::1%eth0 router\n10.0.0.9\n",
        );

        let addresses = |host: &str| hosts.addresses(host).map(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(addresses("users.internal"), Some(vec!["10.0.0.7".to_owned(), "10.0.0.8".to_owned()]));
        assert_eq!(addresses("users.internal."), addresses("users.internal"));
        assert_eq!(addresses("users"), Some(vec!["10.0.0.7".to_owned()]));
        assert_eq!(addresses("localhost"), Some(vec!["127.0.0.1".to_owned(), "::1".to_owned()]));
        assert_eq!((addresses("router"), addresses("line")), (None, None));
    }

    #[test]
    fn servers_search_domains_and_options_are_those_of_resolv_conf() {
        let rules = Rules::parse(
            "; made by hand\nnameserver 10.0.0.53\nnameserver fd00::53\nnameserver fe80::1%eth0\ndomain old.example\n\
             search shop.svc.cluster.local. svc.cluster.local\noptions ndots:5 timeout:2 attempts:9 rotate edns0\n",
        );

        assert_eq!(rules.servers, ["10.0.0.53:53", "[fd00::53]:53"].map(|server| server.parse().expect("an address")));
        assert_eq!(rules.search, ["shop.svc.cluster.local", "svc.cluster.local"]);
        assert_eq!((rules.dots, rules.timeout, rules.attempts, rules.rotate), (5, Duration::from_secs(2), 5, true));
        assert_eq!(Rules::parse("").servers, ["127.0.0.1:53".parse().expect("an address")], "a server of this machine");
    }

    #[test]
    fn a_name_is_tried_in_the_search_domains_before_or_after_it_is_tried_as_it_is() {
        let rules = Rules::parse("search a.example b.example\noptions ndots:2");

        assert_eq!(rules.candidates("users"), ["users.a.example", "users.b.example", "users"]);
        assert_eq!(rules.candidates("x.y.z"), ["x.y.z", "x.y.z.a.example", "x.y.z.b.example"]);
        assert_eq!(rules.candidates("users."), ["users"], "a dot at its end: this and nothing else");
    }

    #[test]
    fn what_the_configuration_says_stands_in_place_of_the_files_words() {
        let directory = std::env::temp_dir().join(format!("frontgate-names-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let mut places = Places { hosts: directory.join("hosts"), resolv_conf: directory.join("resolv.conf"), ..Places::default() };
        std::fs::write(&places.resolv_conf, "nameserver 10.0.0.53\nsearch a.example\n").expect("written");

        let contents = Contents::read(&places, None);
        assert_eq!(contents.rules(&places).search, ["a.example"]);
        assert_eq!(contents.hosts(), Hosts::default(), "a file that is not there says nothing");
        places.servers = Some(vec!["127.0.0.1:5353".parse().expect("an address")]);
        places.search = Some(vec!["b.example".to_owned()]);
        let rules = contents.rules(&places);
        std::fs::write(&places.hosts, "10.0.0.1 a\n").expect("written");
        let later = Contents::read(&places, Some(&contents));
        std::fs::remove_dir_all(&directory).expect("removed");
        let gone = Contents::read(&places, Some(&later));

        assert_eq!((rules.servers, rules.search), (vec!["127.0.0.1:5353".parse().expect("an address")], vec!["b.example".to_owned()]));
        assert_ne!(later, contents);
        assert!(later.hosts().addresses("a").is_some());
        assert_eq!((gone.hosts(), gone.rules(&places)), (later.hosts(), later.rules(&places)), "files that are gone say what they said");
        assert_eq!(Contents::read(&places, Some(&gone)), gone);
    }
}
