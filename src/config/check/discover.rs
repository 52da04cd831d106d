//! `discover`: one source, that is whole.

use frontgate_filters::words::spanned::{Place, Spanned};

use super::Report;
use crate::config::model::{Discover, Etcd, EtcdFormat, Upstream};

pub(super) fn check(name: &str, upstream: &Spanned<Upstream>, report: &mut Report<'_, '_>) {
    let Some(discover) = &upstream.discover else { return };
    let sources = sources(discover);
    if sources.is_empty() {
        report.lacking(discover.place, format!("`discover` of the upstream `{name}` names no source: write `file` or `etcd`"));
    }
    for ((first, one), (second, other)) in sources.iter().zip(sources.iter().skip(1)) {
        report.both(*other, format!("an upstream has one source: `{second}` is another one beside `{first}`"), *one, "the first one");
    }
    if let Some(file) = discover.file.as_ref().filter(|file| file.as_os_str().is_empty()) {
        report.error(file.place, "the name of the file is empty");
    }
    match &discover.etcd {
        Some(written) => etcd(discover, written, report),
        None => {
            let key = if discover.format == EtcdFormat::Auto { "prefix" } else { "format" };
            if discover.prefix.is_some() || discover.format != EtcdFormat::Auto {
                let place = discover.prefix.as_ref().map_or(discover.place, |prefix| prefix.place);
                report.lacking(place, format!("`{key}` belongs to `etcd`"));
            }
        }
    }
}

/// The sources that are written, each with its key and its place.
fn sources(discover: &Discover) -> Vec<(&'static str, Place)> {
    let file = discover.file.as_ref().map(|file| ("file", file.place));
    let etcd = discover.etcd.as_ref().map(|etcd| ("etcd", etcd.place));
    file.into_iter().chain(etcd).collect()
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
            report.helped(member.place, format!("`{}` is not the URL of a member: {why}", member.value), Some("as in http://10.0.0.1:2379".to_owned()));
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
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).ok_or("it begins with neither http:// nor https://")?;
    if rest.contains(['/', '?', '#', '@']) {
        return Err("nothing follows the port, and no user stands before the host");
    }
    let uri: http::Uri = text.parse().map_err(|_| "it cannot be read")?;
    match uri.port_u16() {
        Some(port) if port > 0 => Ok(()),
        _ => Err("it has no port"),
    }
}
