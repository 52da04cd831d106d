//! Upstreams that lead back to the gateway itself: each request to one would come back until it is refused for its number of hops.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Report;
use crate::config::model::{Address, Config};

pub(super) fn check(config: &Config, report: &mut Report<'_, '_>) {
    for (name, upstream) in &config.upstreams {
        for endpoint in &upstream.endpoints {
            let addresses = addresses(&endpoint.address);
            let leads = |listener: SocketAddr| addresses.iter().any(|address| takes(listener, *address));
            let own = config.server.listeners.iter().find(|listener| leads(listener.address));
            if let Some(listener) = own {
                let message = format!("the endpoint `{}` of the upstream `{name}` is this gateway itself", endpoint.address);
                report.tolerated(endpoint.place, message, listener.place, "it listens here");
            }
        }
    }
}

/// Where an endpoint is to be had, as far as that is certain of a name.
fn addresses(endpoint: &Address) -> Vec<SocketAddr> {
    match endpoint {
        Address::Ip(address) => vec![*address],
        Address::Name(name) if name.is_local() => {
            [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].map(|ip| SocketAddr::new(ip, name.port)).to_vec()
        }
        Address::Name(_) => Vec::new(),
    }
}

/// Whether a connection to `endpoint` is one to `listener` on every machine. The addresses of this one are its own affair.
fn takes(listener: SocketAddr, endpoint: SocketAddr) -> bool {
    if listener.port() != endpoint.port() || endpoint.port() == 0 {
        return false;
    }
    // Who connects to no address in particular connects to this machine.
    let asked = match endpoint.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    match listener.ip().to_canonical() {
        // It takes both families.
        IpAddr::V6(ip) if ip.is_unspecified() => asked.is_loopback(),
        IpAddr::V4(ip) if ip.is_unspecified() => asked.is_ipv4() && asked.is_loopback(),
        ip => ip == asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_known_by_every_address_that_leads_to_its_listener() {
        let takes = |listener: &str, endpoint: &str| takes(listener.parse().expect("an address"), endpoint.parse().expect("an address"));
        for (listener, endpoint) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("127.0.0.1:80", "[::ffff:127.0.0.1]:80"),
            ("127.0.0.1:80", "0.0.0.0:80"),
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("0.0.0.0:80", "127.1.2.3:80"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::]:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("[::]:80", "[::]:80"),
            ("[::1]:80", "[::]:80"),
            ("10.0.0.7:80", "10.0.0.7:80"),
        ] {
            assert!(takes(listener, endpoint), "{listener} {endpoint}");
        }
        for (listener, endpoint) in [
            ("127.0.0.1:80", "127.0.0.1:81"),
            ("127.0.0.1:80", "127.0.0.2:80"),
            ("0.0.0.0:80", "10.0.0.7:80"),
            ("0.0.0.0:80", "[::1]:80"),
            ("[::]:80", "10.0.0.7:80"),
            ("10.0.0.7:80", "127.0.0.1:80"),
            ("127.0.0.1:0", "127.0.0.1:0"),
        ] {
            assert!(!takes(listener, endpoint), "{listener} {endpoint}");
        }
    }
}
