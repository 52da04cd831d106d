//! `mirror`: copies that can be made, of requests that have an upstream, and for another one.

use frontgate_filters::headers::problems_of;
use frontgate_filters::words::reserved;
use frontgate_filters::words::spanned::Spanned;
use http::HeaderName;
use http::header::HOST;

use super::Report;
use super::methods;
use crate::config::model::{Mirror, Route};

/// Checks a route's mirror. Whether there is an upstream of its name is checked with all other names.
pub(super) fn check(route: &Route, mirror: &Spanned<Mirror>, report: &mut Report<'_, '_>) {
    if !route.target.is_proxied() && !route.target.makes_calls() {
        report.lacking(mirror.place, "`mirror` copies what is sent to an upstream, but this route has no `upstream`");
    }
    if route.target.is_proxied() && route.target.upstreams().any(|name| name.value == mirror.upstream.value) {
        let message = format!("copies go to `{}` itself, which then serves each request twice", mirror.upstream.value);
        report.warn(mirror.upstream.place, message, None);
    }
    methods::check(&mirror.methods, "for GET and HEAD", report);
    if mirror.share.0 == 0.0 {
        report.warn(mirror.share.place, "nothing is copied: `share` is 0%", None);
    }
    if mirror.timeout.0.is_zero() {
        report.error(mirror.timeout.place, "`timeout` of the mirror is 0: every copy would fail");
    }
    for name in mirror.headers.remove.iter().flatten() {
        report.problems(problems_of(name, None, name.place, is_needed));
    }
    for (name, value) in &mirror.headers.set {
        report.problems(problems_of(name, Some(value), value.place, reserved::on_requests));
    }
}

/// Whether a request cannot be sent without what this header says.
fn is_needed(name: &HeaderName) -> bool {
    *name == HOST || reserved::frames(name)
}
