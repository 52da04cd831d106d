//! `telemetry.tracing`: a collector that can be sent to, and shares of routes that there are.

use frontgate_filters::words::url::Url;
use rustls::pki_types::ServerName;

use super::Report;
use crate::config::model::Config;

pub(super) fn check(config: &Config, report: &mut Report<'_, '_>) {
    let Some(tracing) = &config.telemetry.tracing else { return };
    if !cfg!(feature = "otel") {
        let help = "build it with `--features otel`, or use one that is".to_owned();
        report.helped(tracing.place, "this frontgate was built without `otel`", Some(help));
    }
    if let Some(url) = &tracing.otlp {
        if let Err(why) = collector(url) {
            report.helped(url.place, format!("this is not the URL of a collector: {why}"), Some("as in http://127.0.0.1:4318".to_owned()));
        } else if url.ends_with(":4317") || url.ends_with(":4317/") {
            let help = "OTLP over HTTP is usually taken at port 4318".to_owned();
            report.warn(url.place, "at port 4317 collectors usually take gRPC, which is not spoken to them", Some(help));
        }
    }
    let sample = tracing.sample.as_ref();
    let known = || config.routes.iter().map(|route| route.name.as_str());
    for (name, share) in sample.iter().flat_map(|sample| &sample.routes) {
        if !known().any(|known| known == name) && !report.tree.torn {
            let place = report.tree.key_of(share.place);
            report.unknown(place, "route", name, known());
        }
    }
    if let Some(over) = tracing.keep.over.as_ref().filter(|over| over.0.is_zero()) {
        report.error(over.place, "`over` is 0: every request would be kept; write `sample: 100%` for that");
    }
}

/// Whether it can be sent to; the error says why not, without repeating it.
fn collector(text: &str) -> Result<(), &'static str> {
    let url = Url::parse(text)?;
    if url.target.contains('?') {
        return Err("it has a query");
    }
    if url.port == 0 {
        return Err("port 0 cannot be connected to");
    }
    if url.tls && ServerName::try_from(url.host).is_err() {
        return Err("its host cannot be the name in a certificate");
    }
    Ok(())
}
