//! `discover`: one source, that is whole.

use std::net::IpAddr;
use std::time::Duration;

use frontgate_filters::words::spanned::{Place, Spanned};

use super::Report;
use crate::config::model::{Discover, Etcd, EtcdFormat, Upstream, is_host_name};

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
    if let Some(file) = discover.file.as_ref().filter(|file| file.as_os_str().is_empty()) {
        report.error(file.place, "the name of the file is empty");
    }
    match &discover.etcd {
        Some(written) => etcd(discover, written, report),
        None => of_etcd(discover, report),
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
const SOURCES: &str = "`file`, `dns`, `dns_srv` and `etcd`";

/// The sources that are written, with their places.
fn sources(discover: &Discover) -> Box<[(&'static str, Place)]> {
    let file = discover.file.as_ref().map(|file| ("file", file.place));
    let dns = discover.dns.as_ref().map(|name| ("dns", name.place));
    let service = discover.dns_srv.as_ref().map(|name| ("dns_srv", name.place));
    let etcd = discover.etcd.as_ref().map(|etcd| ("etcd", etcd.place));
    [file, dns, service, etcd].into_iter().flatten().collect()
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

/// What is written beside an `etcd` that is not.
fn of_etcd(discover: &Spanned<Discover>, report: &mut Report<'_, '_>) {
    if let Some(prefix) = &discover.prefix {
        report.error(prefix.place, "`prefix` belongs to `etcd`");
    }
    if discover.format != EtcdFormat::Auto {
        report.error(discover.place, "`format` belongs to `etcd`");
    }
}

fn etcd(discover: &Spanned<Discover>, etcd: &Spanned<Etcd>, report: &mut Report<'_, '_>) {
    if !cfg!(feature = "etcd") {
        let help = "build it with `--features etcd`, or use one that is".to_owned();
        report.helped(etcd.place, "this frontgate was built without `etcd`", Some(help));
    }
    match &discover.prefix {
        None => report.lacking(discover.place, "`etcd` needs the `prefix` of the keys, such as /services/shop/"),
        Some(prefix) if !prefix.ends_with('/') => {
            // Without it, `/services/shop` would be the prefix of `/services/shop-admin`, too.
            report.helped(prefix.place, "`prefix` must end with a slash", Some(format!("write {}/", prefix.value)));
        }
        Some(_) => {}
    }
    if etcd.endpoints.is_empty() {
        report.lacking(etcd.place, "`etcd` has no endpoints: write `endpoints: [http://10.0.0.1:2379]`");
    }
    let is_https = |member: &Spanned<String>| member.starts_with("https://");
    for member in &etcd.endpoints {
        if let Err(why) = url(member) {
            report.helped(
                member.place,
                format!("`{}` is not the URL of a member: {why}", member.value),
                Some("as in http://10.0.0.1:2379".to_owned()),
            );
        } else if is_https(member) != is_https(&etcd.endpoints[0]) {
            report.both(member.place, "members are spoken to all over TLS, or none is", etcd.endpoints[0].place, "the first one");
        }
    }
    if let Some(tls) = &etcd.tls {
        if etcd.endpoints.first().is_some_and(|member| !is_https(member)) {
            report.error(tls.place, "`tls` is for members with https://");
        }
        if let (Some(one), None) | (None, Some(one)) = (&tls.cert, &tls.key) {
            report.lacking(one.place, "`cert` and `key` belong together");
        }
    }
    match (&etcd.user, &etcd.password) {
        (Some(user), None) => report.lacking(user.place, "`user` needs a `password`: write {file: path} or {env: NAME}"),
        (None, Some(password)) => report.lacking(password.place(), "`password` needs a `user`"),
        _ => {}
    }
}

/// A member's URL: a scheme, a host and a port, and nothing else.
fn url(text: &str) -> Result<(), &'static str> {
    let rest =
        text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).ok_or("it begins with neither http:// nor https://")?;
    if rest.contains(['/', '?', '#', '@']) {
        return Err("nothing follows the port, and no user stands before the host");
    }
    let uri: http::Uri = text.parse().map_err(|_| "it cannot be read")?;
    match uri.port_u16() {
        Some(port) if port > 0 => Ok(()),
        _ => Err("it has no port"),
    }
}
