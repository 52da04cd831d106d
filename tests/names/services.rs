//! Services that the DNS knows by SRV records: priorities, weights, ports.

use frontgate_test_support::dns::{Answer, DnsServer};

use super::{at, get, origins, over, wait_for};

#[test]
fn a_service_is_balanced_by_the_weights_of_its_records_and_by_no_other_than_the_first_priority() {
    let server = DnsServer::start();
    let (_ours, port) = origins(&["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
    let record = |priority, weight, target: &str| (priority, weight, port, target.to_owned());
    server.set(
        "_http._tcp.shop.internal",
        Answer::Services(1, vec![record(1, 30, "a.internal"), record(1, 10, "b.internal"), record(2, 100, "c.internal")]),
    );
    server.set("a.internal", Answer::addresses(1, &["127.0.0.2"]));
    server.set("b.internal", Answer::addresses(1, &["127.0.0.3"]));
    server.set("c.internal", Answer::addresses(1, &["127.0.0.4"]));
    let gateway = over(&server, "discover: {dns_srv: _http._tcp.shop.internal, refresh: 1s}");
    wait_for(&gateway, &at(&["127.0.0.2", "127.0.0.3"], port));

    let answers: Vec<String> = (0..80).map(|_| get(gateway.address, "/").text()).collect();
    let count = |address: &str| answers.iter().filter(|answer| *answer == address).count();
    assert_eq!((count("127.0.0.2"), count("127.0.0.3"), count("127.0.0.4")), (60, 20, 0));
    server.set("a.internal", Answer::NoName);
    wait_for(&gateway, &at(&["127.0.0.3"], port));
    server.set("b.internal", Answer::NoName);
    wait_for(&gateway, &at(&["127.0.0.4"], port));

    assert_eq!(get(gateway.address, "/").text(), "127.0.0.4");
}
