//! A route that sends the client elsewhere.

use frontgate_filters::filter::Facts;
use frontgate_filters::reply::Reply;
use frontgate_filters::words::fields;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use pingora_http::RequestHeader;

use super::{Act, Action, Upstreams};
use crate::config::check::{Check, Report};
use crate::config::model;
use crate::refusals;
use crate::router::{Pattern, Template};

/// Where to, and with which status.
struct Redirect {
    to: Template,
    status: StatusCode,
}

impl Check for model::Redirect {
    fn check(&self, path: Option<&Pattern>, report: &mut Report<'_, '_>) {
        if ![301, 302, 303, 307, 308].contains(&*self.status) {
            report.error(self.status.place, format!("{} is not a redirect: 301, 302, 303, 307 or 308", *self.status));
        }
        let is_target = ["/", "http://", "https://"].iter().any(|start| self.to.starts_with(start));
        if !is_target {
            report.error(self.to.place, format!("`{}` is neither a path nor an http URL", self.to.value));
        } else if !self.to.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
            report.error(self.to.place, format!("`{}` holds a character that must be percent-encoded", self.to.value));
        } else if let Some(Err(why)) = path.map(|path| Template::parse(&self.to, path)) {
            report.error(self.to.place, why);
        }
    }
}

/// Compiles a checked redirect.
pub(super) fn compile(written: &model::Redirect, path: &Pattern) -> Result<Box<dyn Action>, String> {
    let status = StatusCode::from_u16(*written.status).map_err(|error| error.to_string())?;
    Ok(Box::new(Redirect { to: Template::parse(&written.to, path)?, status }))
}

impl Action for Redirect {
    fn act<'a>(&'a self, head: &RequestHeader, _: &Facts, _: &'a Upstreams) -> Act<'a> {
        let mut to = self.to.expand(head.uri.path());
        if let Some(query) = head.uri.query() {
            to.push(if to.contains('?') { '&' } else { '?' });
            to.push_str(query);
        }
        Act::Answer(match HeaderValue::from_str(&to) {
            Ok(to) => Reply::empty(self.status, "redirect").with(LOCATION, to),
            Err(_) => refusals::internal(),
        })
    }

    fn why(&self, answer: &Reply) -> String {
        match answer.headers.iter().find(|(name, _)| name == LOCATION) {
            Some((_, to)) => format!("redirects to {}", fields::text(to).unwrap_or_default()),
            None => "the target of the redirect cannot be a header".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_goes_along() {
        let pattern = Pattern::parse("/old/{id}").expect("a pattern");
        let facts = Facts::new([127, 0, 0, 1].into(), HeaderValue::from_static("1"));
        let location = |to: &str, target: &str| {
            let action = Redirect { to: Template::parse(to, &pattern).expect("a template"), status: StatusCode::FOUND };
            let head = RequestHeader::build("GET", target.as_bytes(), None).expect("a head");
            match action.act(&head, &facts, &Upstreams::new()) {
                Act::Answer(reply) => action.why(&reply),
                Act::Ask(_) | Act::Compose(_) => "an upstream is asked".to_owned(),
            }
        };

        assert_eq!(location("/new/{id}", "/old/7"), "redirects to /new/7");
        assert_eq!(location("/new/{id}", "/old/7?a=b"), "redirects to /new/7?a=b");
        assert_eq!(location("/new?id={id}", "/old/7?a=b"), "redirects to /new?id=7&a=b");
    }
}
