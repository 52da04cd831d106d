//! Names against a real server on loopback, which says what each test tells it to.

use frontgate_test_support::dns::{Answer as Says, DnsServer};

use super::*;
use crate::config::model::{Address, Endpoint};
use crate::upstream::Found;

fn asking(servers: &[&DnsServer]) -> Places {
    let nowhere = std::path::PathBuf::from("/nonexistent");
    let servers = servers.iter().map(|server| server.address()).collect();
    Places { hosts: nowhere.clone(), resolv_conf: nowhere, servers: Some(servers), search: None }
}

fn families(v4: &[&str], v6: &[&str]) -> Families {
    let parse = |addresses: &[&str]| Some(addresses.iter().map(|address| address.parse().expect("an address")).collect());
    Families { v4: parse(v4), v6: parse(v6) }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn name(text: &str) -> Name {
    let endpoint: Endpoint = serde_json::from_value(text.into()).expect("an endpoint");
    match endpoint.address {
        Address::Name(name) => name,
        Address::Ip(address) => panic!("{address} is no name"),
    }
}

fn host(text: &str, refresh: Duration) -> Wanted {
    Wanted { source: Source::Host(name(text)), refresh, weight: 3, version: Some("v2".to_owned()) }
}

fn service(name: &str) -> Wanted {
    Wanted { source: Source::Service(name.into()), refresh: seconds(30), weight: 1, version: None }
}

/// What is told, as it comes, while this is held.
fn followed(dns: &Arc<Dns>, wanted: Wanted) -> tokio::sync::mpsc::UnboundedReceiver<News> {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let gone = sender.clone();
    let following = follow(dns.clone(), wanted, move |news| drop(sender.send(news)));
    tokio::spawn(async move {
        tokio::select! {
            () = following => {}
            () = gone.closed() => {}
        }
    });
    receiver
}

async fn news(told: &mut tokio::sync::mpsc::UnboundedReceiver<News>) -> News {
    tokio::time::timeout(seconds(30), told.recv()).await.expect("in time").expect("news")
}

/// Endpoints as `address weight`, in order.
fn found(news: News) -> Vec<String> {
    match news {
        News::Found(found) => {
            let mut found: Vec<String> = found.iter().map(|found| format!("{} {}", found.address, found.weight)).collect();
            found.sort();
            found
        }
        News::Failed(why) => panic!("{why}"),
    }
}

#[tokio::test]
async fn a_name_has_the_addresses_of_both_families_for_as_long_as_the_shorter_lives() {
    let server = DnsServer::start();
    let says = |v4, v6| Says::ByFamily(Box::new(v4), Box::new(v6));
    server.set("both.internal", says(Says::addresses(60, &["10.0.0.1", "10.0.0.2"]), Says::addresses(20, &["fd00::1"])));
    server.set("alias.internal", Says::Alias(7, "both.internal".to_owned()));
    server.set("large.internal", Says::Truncated(Box::new(Says::addresses(5, &["10.0.0.9"]))));
    let dns = Dns::new(asking(&[&server]));

    let both = families(&["10.0.0.1", "10.0.0.2"], &["fd00::1"]);
    assert_eq!(dns.addresses("both.internal").await, Answer::Found(both.clone(), seconds(20)));
    assert_eq!(dns.addresses("alias.internal").await, Answer::Found(both, seconds(7)));
    assert_eq!(server.asked_over_tcp("large.internal"), 0);
    assert_eq!(dns.addresses("large.internal").await, Answer::Found(families(&["10.0.0.9"], &[]), seconds(5)));
    assert!(server.asked_over_tcp("large.internal") > 0, "what does not fit is asked for over TCP");
}

#[tokio::test]
async fn that_there_is_nothing_is_an_answer_and_that_nobody_can_tell_is_none() {
    let server = DnsServer::start();
    server.set("empty.internal", Says::Empty);
    server.set("failing.internal", Says::Failure);
    server.set("half.internal", Says::ByFamily(Box::new(Says::addresses(9, &["10.0.0.1"])), Box::new(Says::Failure)));
    let dns = Dns::new(asking(&[&server]));
    let address = server.address();

    assert_eq!(dns.addresses("none.internal").await, Answer::Nothing("it does not exist"));
    assert_eq!(dns.addresses("empty.internal").await, Answer::Nothing("it has no address"));
    assert_eq!(dns.addresses("failing.internal").await, Answer::Unknown(format!("the DNS server {address} answers SERVFAIL")));
    let half = Families { v6: None, ..families(&["10.0.0.1"], &[]) };
    assert_eq!(dns.addresses("half.internal").await, Answer::Found(half, seconds(9)), "one family is known, the other is not");
}

#[tokio::test]
async fn the_next_server_is_asked_where_one_is_silent_or_cannot_tell() {
    let (silent, failing, good) = (DnsServer::start(), DnsServer::start(), DnsServer::start());
    silent.set("a.internal", Says::Silence);
    failing.set("a.internal", Says::Failure);
    good.set("a.internal", Says::addresses(60, &["10.0.0.1"]));
    let directory = std::env::temp_dir().join(format!("frontgate-silent-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let resolv_conf = directory.join("resolv.conf");
    std::fs::write(&resolv_conf, "options timeout:1 attempts:1\n").expect("written");
    let dns = Dns::new(Places { resolv_conf, ..asking(&[&silent, &failing, &good]) });

    let known = Answer::Found(families(&["10.0.0.1"], &[]), seconds(60));
    assert_eq!(dns.addresses("a.internal").await, known);
    let asked = silent.asked("a.internal");
    assert_eq!(dns.addresses("a.internal").await, known);
    assert_eq!(silent.asked("a.internal"), asked, "nobody waits for one that was silent a moment ago");
    std::fs::remove_dir_all(&directory).expect("removed");

    let alone = Dns::new(Places { resolv_conf: "/nonexistent".into(), ..asking(&[]) });
    assert_eq!(alone.addresses("a.internal").await, Answer::Unknown("there is no DNS server".to_owned()));
}

#[tokio::test]
async fn a_name_is_tried_in_the_search_domains() {
    let server = DnsServer::start();
    server.set("users.shop.internal", Says::addresses(60, &["10.0.0.1"]));
    server.set("users.failing.internal", Says::Failure);
    let search = |domains: &[&str]| Some(domains.iter().map(|domain| (*domain).to_owned()).collect());
    let dns = Dns::new(Places { search: search(&["other.internal", "failing.internal", "shop.internal"]), ..asking(&[&server]) });

    assert_eq!(dns.addresses("users").await, Answer::Found(families(&["10.0.0.1"], &[]), seconds(60)));
    assert_eq!(server.names(), ["users.other.internal", "users.failing.internal", "users.shop.internal"]);
    assert_eq!(dns.addresses("users.").await, Answer::Nothing("it does not exist"), "a dot at its end: no domain is tried");
    dns.set(Places { search: search(&["failing.internal"]), ..asking(&[&server]) });
    assert!(matches!(dns.addresses("users").await, Answer::Unknown(_)), "it may be there that it exists");
}

#[tokio::test]
async fn the_table_of_hosts_comes_first_and_is_read_again_when_it_changes() {
    let server = DnsServer::start();
    server.set("users.internal", Says::addresses(60, &["10.0.0.1"]));
    let directory = std::env::temp_dir().join(format!("frontgate-hosts-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let hosts = directory.join("hosts");
    let dns = Dns::new(Places { hosts: hosts.clone(), ..asking(&[&server]) });
    let mut told = followed(&dns, Wanted { refresh: seconds(3600), ..host("users.internal:80", seconds(3600)) });
    let watching = tokio::spawn(dns.clone().watch_files());
    assert_eq!(found(news(&mut told).await), ["10.0.0.1:80 3"]);

    std::fs::write(&hosts, "10.9.9.9 users.internal\n10.9.9.8 users.internal # another\n").expect("written");
    let changed = news(&mut told).await;
    let local = dns.addresses("localhost").await;
    watching.abort();
    std::fs::remove_dir_all(&directory).expect("removed");

    assert_eq!(found(changed), ["10.9.9.8:80 3", "10.9.9.9:80 3"], "nobody waits for an hour");
    assert_eq!(local, Answer::Found(families(&["127.0.0.1"], &["::1"]), LOOK), "whatever the table and the server say");
}

#[tokio::test]
async fn what_is_followed_comes_and_goes_by_its_time_to_live() {
    let server = DnsServer::start();
    server.set("users.internal", Says::addresses(1, &["10.0.0.1", "10.0.0.2"]));
    let dns = Dns::new(asking(&[&server]));
    let mut told = followed(&dns, host("users.internal:8080", seconds(30)));

    let News::Found(first) = news(&mut told).await else { panic!("found") };
    let name = Some(name("users.internal:8080"));
    let one = Found { address: "10.0.0.1:8080".parse().expect("an address"), weight: 3, version: Some("v2".to_owned()), name };
    assert_eq!(first[0], one, "each is like what was written");
    server.set("users.internal", Says::addresses(1, &["10.0.0.3"]));
    assert_eq!(found(news(&mut told).await), ["10.0.0.3:8080 3"]);
    server.set("users.internal", Says::NoName);
    assert_eq!(found(news(&mut told).await), [""; 0], "what was there and is no more");
    server.set("users.internal", Says::Failure);
    assert!(matches!(news(&mut told).await, News::Failed(why) if why.ends_with("answers SERVFAIL")));
    server.set("users.internal", Says::addresses(1, &["10.0.0.4"]));
    assert_eq!(found(news(&mut told).await), ["10.0.0.4:8080 3"]);
}

#[tokio::test]
async fn no_answer_counts_for_longer_than_refresh_or_for_less_than_a_second() {
    let server = DnsServer::start();
    server.set("long.internal", Says::addresses(3600, &["10.0.0.1"]));
    server.set("none.internal", Says::addresses(0, &["10.0.0.1"]));
    let dns = Dns::new(asking(&[&server]));

    let mut long = followed(&dns, host("long.internal:80", seconds(2)));
    let mut none = followed(&dns, host("none.internal:80", seconds(30)));
    let began = std::time::Instant::now();
    news(&mut long).await;
    news(&mut long).await;
    let refreshed = began.elapsed();
    for _ in 0..3 {
        news(&mut none).await;
    }

    assert!(refreshed >= seconds(2), "{refreshed:?}");
    assert!(began.elapsed() >= seconds(2), "three answers are two pauses: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_name_that_never_was_is_missed_and_found_when_it_comes() {
    let server = DnsServer::start();
    let dns = Dns::new(asking(&[&server]));
    let mut told = followed(&dns, host("users.internal:80", seconds(30)));

    assert_eq!(news(&mut told).await, News::Failed("it does not exist".to_owned()));
    server.set("users.internal", Says::addresses(60, &["10.0.0.1", "0.0.0.0"]));

    assert_eq!(found(news(&mut told).await), ["10.0.0.1:80 3"], "no address in particular is none");
}

#[tokio::test]
async fn a_family_that_is_not_known_keeps_what_it_had() {
    let server = DnsServer::start();
    let both = |v6| Says::ByFamily(Box::new(Says::addresses(1, &["127.0.0.2"])), Box::new(v6));
    server.set("users.internal", both(Says::addresses(1, &["::1"])));
    let dns = Dns::new(asking(&[&server]));
    let mut told = followed(&dns, host("users.internal:80", seconds(30)));

    assert_eq!(found(news(&mut told).await), ["127.0.0.2:80 3", "[::1]:80 3"]);
    server.set("users.internal", both(Says::Failure));
    assert_eq!(found(news(&mut told).await), ["127.0.0.2:80 3", "[::1]:80 3"]);
    server.set("users.internal", both(Says::Empty));
    assert_eq!(found(news(&mut told).await), ["127.0.0.2:80 3"]);
}

#[tokio::test]
async fn a_service_is_had_from_the_hosts_of_the_lowest_priority_that_have_addresses() {
    let server = DnsServer::start();
    let at = |priority, weight, port, target: &str| (priority, weight, port, target.to_owned());
    server.set(
        "_http._tcp.shop.internal",
        Says::Services(1, vec![at(20, 5, 8003, "c.internal"), at(10, 60, 8001, "A.internal"), at(10, 20, 8002, "b.internal")]),
    );
    server.set("a.internal", Says::addresses(60, &["10.0.0.1", "10.0.0.2"]));
    server.set("b.internal", Says::addresses(60, &["10.0.0.3"]));
    server.set("c.internal", Says::addresses(60, &["10.0.0.4"]));
    let dns = Dns::new(asking(&[&server]));
    let mut told = followed(&dns, service("_http._tcp.shop.internal"));

    let first = news(&mut told).await;
    let News::Found(all) = &first else { panic!("found") };
    assert!(all.iter().all(|found| found.name.as_ref().is_some_and(|name| &*name.host == "shop.internal")), "{all:?}");
    assert_eq!(found(first), ["10.0.0.1:8001 3", "10.0.0.2:8001 3", "10.0.0.3:8002 1"]);
    server.set("a.internal", Says::Empty);
    server.set("b.internal", Says::Empty);
    assert_eq!(found(news(&mut told).await), ["10.0.0.4:8003 1"]);
    server.set("c.internal", Says::Empty);
    assert_eq!(found(news(&mut told).await), [""; 0]);
    server.set("_http._tcp.shop.internal", Says::Services(1, vec![at(0, 0, 0, ".")]));
    assert_eq!(found(news(&mut told).await), [""; 0], "the root: decidedly not to be had");
}

#[tokio::test]
async fn localhost_is_where_something_listens() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let dns = Dns::new(asking(&[]));

    let mut told = followed(&dns, host(&format!("localhost:{port}"), seconds(30)));

    assert_eq!(found(news(&mut told).await), [format!("127.0.0.1:{port} 3")]);
}
