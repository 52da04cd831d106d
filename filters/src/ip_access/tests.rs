use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn config(options: &str) -> Config {
    serde_json::from_str(options).expect("valid options")
}

fn filter(options: &str) -> IpAccess {
    IpAccess::new(&config(options), "office", &Families::new(&prometheus::Registry::new()))
}

fn refused(filter: &IpAccess, address: &str) -> Option<&'static str> {
    filter.refusal(address.parse().expect("an address"))
}

#[test]
fn deny_wins_over_allow_and_who_is_on_neither_list_is_refused() {
    let filter = filter(r#"{"allow": ["192.0.2.0/24", "2001:db8::/32"], "deny": ["192.0.2.13", "2001:db8:0:1::/64"]}"#);

    assert_eq!(refused(&filter, "192.0.2.7"), None);
    assert_eq!(refused(&filter, "192.0.2.13"), Some("denied"));
    assert_eq!(refused(&filter, "192.0.3.1"), Some("not_allowed"));
    assert_eq!(refused(&filter, "2001:db8::1"), None);
    assert_eq!(refused(&filter, "2001:db8:0:1::9"), Some("denied"));
    assert_eq!(refused(&filter, "2001:db9::1"), Some("not_allowed"));
}

#[test]
fn without_an_allow_list_everybody_else_comes_in() {
    let filter = filter(r#"{"deny": ["10.0.0.0/8"]}"#);

    assert_eq!(refused(&filter, "10.255.255.255"), Some("denied"));
    assert_eq!(refused(&filter, "11.0.0.0"), None);
    assert_eq!(refused(&filter, "::ffff:10.0.0.1"), Some("denied"));
}

#[test]
fn mapped_networks_are_those_they_stand_for() {
    let filter = filter(r#"{"deny": ["::ffff:10.0.0.0/104", "::ffff:192.0.2.1"]}"#);

    assert_eq!(refused(&filter, "10.9.9.9"), Some("denied"));
    assert_eq!(refused(&filter, "11.0.0.1"), None);
    assert_eq!(refused(&filter, "192.0.2.1"), Some("denied"));
}

#[test]
fn host_bits_and_an_empty_allow_list_are_problems() {
    assert_eq!(config(r#"{"deny": ["10.1.2.3/8"]}"#).problems()[0].message, "`10.1.2.3/8` has host bits set: the network is `10.0.0.0/8`");
    assert_eq!(config(r#"{"allow": []}"#).problems().len(), 1);
    assert!(config(r#"{"allow": ["10.0.0.0/8", "10.1.2.3"]}"#).problems().is_empty());
    assert!(serde_json::from_str::<Config>(r#"{"allow": ["10.0.0.0/33"]}"#).is_err());
}

fn network() -> impl Strategy<Value = Network> {
    let v4 = (any::<u32>(), 0..=32_u8).prop_map(|(bits, prefix)| format!("{}/{prefix}", Ipv4Addr::from(bits)));
    let v6 = (any::<u128>(), 0..=128_u8).prop_map(|(bits, prefix)| format!("{}/{prefix}", Ipv6Addr::from(bits)));
    prop_oneof![v4, v6].prop_map(|text| Network(text.parse().expect("a network")))
}

proptest! {
    #[test]
    fn a_set_holds_what_one_of_its_networks_holds(networks in prop::collection::vec(network(), 0..12), v4 in any::<u32>(), v6 in any::<u128>()) {
        let set = Set::new(networks.iter());
        // The edges of each network, and anything.
        let edges = networks.iter().flat_map(|network| [network.0.network(), network.0.broadcast()]);
        for address in edges.chain([Ipv4Addr::from(v4).into(), Ipv6Addr::from(v6).into()]) {
            let address = address.to_canonical();
            let mapped = |address: IpAddr| match address {
                IpAddr::V4(address) => IpAddr::V6(address.to_ipv6_mapped()),
                other => other,
            };
            // A wide IPv6 network that covers the mapped range as a whole is not meant for IPv4.
            let expected = networks.iter().any(|Network(net)| {
                net.contains(&address) || net.prefix_len() >= 96 && matches!(net, IpNet::V6(_)) && net.contains(&mapped(address))
            });
            prop_assert_eq!(set.contains(address), expected, "{}", address);
        }
    }
}
