//! `discover`: one source, that is whole.

use std::net::IpAddr;
use std::time::Duration;

use frontgate_filters::words::spanned::{Place, Spanned};

use super::Report;
use crate::config::model::{Discover, Upstream, is_host_name};

pub(super) fn check(name: &str, upstream: &Spanned<Upstream>, report: &mut Report<'_, '_>) {
    let Some(discover) = &upstream.discover else { return };
    match *sources(discover) {
        [] => report.lacking(discover.place, format!("`discover` of the upstream `{name}` names no source: write one of {SOURCES}")),
        [_] => {}
        [(first, at), (second, place), ..] => {
            let message = format!("`discover` has one source: `{second}` stands beside `{first}`");
            report.both(place, message, at, "the first");
        }
    }
    if let Some(host) = &discover.dns {
        self::host(host, discover, report);
    }
    if let Some(service) = &discover.dns_srv {
        self::service(service, report);
    }
    match (&discover.port, &discover.dns, &discover.dns_srv) {
        (None, Some(host), _) => report.lacking(host.place, "`dns` needs a `port`, as in {dns: users.internal, port: 8080}"),
        (Some(port), None, Some(_)) => report.error(port.place, "`port` belongs to `dns`: those of `dns_srv` are in its records"),
        (Some(port), None, None) => report.error(port.place, "`port` belongs to `dns`"),
        (Some(port), Some(_), _) if port.value == 0 => report.error(port.place, "port 0 cannot be connected to"),
        _ => {}
    }
    if let Some(refresh) = &discover.refresh {
        if discover.dns.is_none() && discover.dns_srv.is_none() {
            report.error(refresh.place, "`refresh` belongs to `dns` and `dns_srv`");
        } else if refresh.0 < Duration::from_secs(1) {
            report.error(refresh.place, "`refresh` must be at least 1s");
        }
    }
}

/// What a message says that there is.
const SOURCES: &str = "`dns` and `dns_srv`";

/// The sources that are written, with their places.
fn sources(discover: &Discover) -> Box<[(&'static str, Place)]> {
    let dns = discover.dns.as_ref().map(|name| ("dns", name.place));
    let service = discover.dns_srv.as_ref().map(|name| ("dns_srv", name.place));
    dns.into_iter().chain(service).collect()
}

fn host(host: &Spanned<String>, discover: &Discover, report: &mut Report<'_, '_>) {
    if is_host_name(host) {
        return;
    }
    let named = host.rsplit_once(':').filter(|(name, port)| is_host_name(name) && port.parse::<u16>().is_ok());
    let help = match named {
        Some((name, port)) => Some(format!("write `dns: {name}, port: {port}`")),
        None if host.parse::<IpAddr>().is_ok() => {
            let port = discover.port.as_ref().map_or(8080, |port| port.value);
            Some(format!("an address needs no discovery: write `endpoints: [\"{}:{port}\"]`", host.value))
        }
        None => None,
    };
    report.helped(host.place, format!("`{}` is not the name of a host, as in users.internal", host.value), help);
}

/// A service has a domain behind the labels that say which it is: that is what its certificates are for.
fn service(service: &Spanned<String>, report: &mut Report<'_, '_>) {
    let domain = service.split('.').skip_while(|label| label.starts_with('_')).collect::<Vec<_>>().join(".");
    if !is_host_name(service) || !is_host_name(&domain) {
        report.error(service.place, format!("`{}` is not the name of a service, as in _http._tcp.shop.internal", service.value));
    }
}
