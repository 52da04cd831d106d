//! A route that leads to an upstream, or to one of several that the request decides between, with the path that the upstream is sent in place
//! of the client's.

mod canary;
mod choice;
mod seal;
mod split;

use std::borrow::Cow;
use std::sync::Arc;

use frontgate_filters::filter::Facts;
use frontgate_filters::words::fields;
use frontgate_filters::words::path::BadPath;
use frontgate_filters::words::spanned::Spanned;
use http::header::HOST;
use http::uri::PathAndQuery;
use pingora_http::RequestHeader;

use super::{Act, Action, Upstreams, With};
use crate::config::check::{Check, Report};
use crate::config::model;
use crate::refusals;
use crate::router::{Pattern, Segment, Template, normalise};
use crate::upstream::Pool;

pub(crate) use self::canary::X_BFF_VERSION;
pub(crate) use self::choice::{Choice, Chosen};
pub(crate) use self::seal::Seal;
pub(crate) use self::split::Pins;

/// An upstream, and what it is sent.
struct Upstream {
    pool: Arc<Pool>,
    rewrite: Option<Rewrite>,
    /// What is left to the request, where something is.
    choice: Option<Choice>,
}

/// A compiled rewrite.
enum Rewrite {
    /// This many bytes off the front.
    Strip(usize),
    /// Another path.
    Template(Template),
}

/// A request for an upstream.
pub(crate) struct Ask<'a> {
    /// The upstream.
    pub pool: &'a Arc<Pool>,
    /// The path that it is sent, where that is not the request's own.
    pub path: Option<String>,
}

impl Check for model::Rewrite {
    fn check(&self, path: Option<&Pattern>, report: &mut Report<'_, '_>) {
        let Some(path) = path else { return };
        match self {
            Self::StripPrefix(prefix) => strip_prefix(prefix, path, report),
            Self::Path(template) => other_path(template, path, report),
        }
    }
}

/// The text has to be what a request's own path is once it was checked.
fn other_path(template: &Spanned<String>, path: &Pattern, report: &mut Report<'_, '_>) {
    let text = &template.value;
    if !text.starts_with('/') {
        return report.error(template.place, format!("`{text}` does not begin with a slash"));
    }
    let sample = match Template::parse(template, path) {
        Ok(parsed) => parsed.sample(),
        Err(why) => return report.error(template.place, why),
    };
    match normalise(&sample) {
        Ok(normal) if normal != sample => {
            // The braces of variables are left alone.
            let help = normalise(text).ok().map(|normal| format!("write `{normal}`"));
            report.helped(template.place, format!("`{text}` is not in the one form that paths are sent in"), help);
        }
        Ok(_) if PathAndQuery::try_from(sample.as_str()).is_err() => {
            report.error(template.place, format!("`{text}` holds a character that must be percent-encoded"));
        }
        Ok(_) => {}
        Err(why) => {
            let help = (why == BadPath::Delimiter).then(|| "the query of the request is kept as it is".to_owned());
            report.helped(template.place, format!("`{text}` is not a path: it holds {why}"), help);
        }
    }
}

fn strip_prefix(prefix: &Spanned<String>, path: &Pattern, report: &mut Report<'_, '_>) {
    let trimmed = prefix.trim_end_matches('/');
    let mut segments = path.segments().iter();
    let fits = trimmed.starts_with('/')
        && trimmed[1..].split('/').all(|wanted| matches!(segments.next(), Some(Segment::Literal(text)) if **text == *wanted));
    if !fits {
        report.error(prefix.place, format!("`{}` is not made of the path's first literal segments", prefix.value));
    }
}

/// Compiles what a checked route sends to an upstream, or to the first of several.
pub(super) fn compile(name: &str, route: &model::Route, path: &Pattern, with: &With<'_>) -> Result<Box<dyn Action>, String> {
    let rewrite = match route.rewrite.as_deref() {
        None => None,
        Some(model::Rewrite::StripPrefix(prefix)) => Some(Rewrite::Strip(prefix.trim_end_matches('/').len())),
        Some(model::Rewrite::Path(template)) => Some(Rewrite::Template(Template::parse(template, path)?)),
    };
    Ok(Box::new(Upstream { pool: with.pool(name)?, rewrite, choice: Choice::new(route, with)? }))
}

impl Rewrite {
    /// The path that is sent for this normalised one, in normal form itself: what a variable brings may make dots or slashes meet.
    fn apply(&self, path: &str) -> Result<String, BadPath> {
        let rewritten = match self {
            Self::Strip(length) => match path.get(*length..) {
                Some(rest) if rest.starts_with('/') => rest.to_owned(),
                Some(rest) => format!("/{rest}"),
                None => "/".to_owned(),
            },
            Self::Template(template) => template.expand(path),
        };
        match normalise(&rewritten)? {
            Cow::Borrowed(_) => Ok(rewritten),
            Cow::Owned(normal) => Ok(normal),
        }
    }
}

impl Action for Upstream {
    fn upstream(&self) -> Option<&Arc<str>> {
        Some(&self.pool.name)
    }

    fn choice(&self) -> Option<&Choice> {
        self.choice.as_ref()
    }

    /// Settles the upstream, after the choice that the route leaves to the request, and the filters that may choose another.
    fn act<'a>(&'a self, head: &RequestHeader, facts: &Facts, upstreams: &'a Upstreams) -> Act<'a> {
        let chosen = facts.upstream.as_ref().filter(|name| !Arc::ptr_eq(name, &self.pool.name));
        let pool = chosen.and_then(|name| upstreams.get(&**name)).unwrap_or(&self.pool);
        match self.rewrite.as_ref().map(|rewrite| rewrite.apply(head.uri.path())).transpose() {
            Ok(path) => Act::Ask(Ask { pool, path }),
            Err(_) => Act::Answer(refusals::bad_request("The path cannot be rewritten to one that has a single reading.")),
        }
    }
}

impl Ask<'_> {
    /// The request line's method and target, as the upstream is sent them.
    pub(crate) fn line(&self, head: &RequestHeader) -> String {
        let path = self.path.as_deref().unwrap_or(head.uri.path());
        match head.uri.query() {
            Some(query) => format!("{} {path}?{query}", head.method),
            None => format!("{} {path}", head.method),
        }
    }

    /// The Host that the upstream is sent.
    pub(crate) fn host(&self, head: &RequestHeader) -> String {
        let host = self.pool.host.as_ref().or_else(|| head.headers.get(HOST));
        host.and_then(fields::text).unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stripped_prefix_always_leaves_a_path() {
        let rewrite = Rewrite::Strip("/api".len());

        assert_eq!(["/api/x/y", "/api/", "/api", "/a"].map(|path| rewrite.apply(path).expect("a path")), ["/x/y", "/", "/", "/"]);
    }

    #[test]
    fn what_a_variable_brings_leaves_one_reading() {
        let apply = |template: &str, pattern: &str, path: &str| {
            let pattern = Pattern::parse(pattern).expect("a pattern");
            Rewrite::Template(Template::parse(template, &pattern).expect("a template")).apply(path)
        };

        assert_eq!(apply("/v2/{rest}/end", "/v1/**", "/v1/a/").as_deref(), Ok("/v2/a/end"));
        assert_eq!(apply("/v2/.{rest}", "/v1/**", "/v1").as_deref(), Ok("/v2/"));
        assert_eq!(apply("/v2/a{rest}", "/v1/**", "/v1/.b/c%20d").as_deref(), Ok("/v2/a.b/c%20d"));
        assert_eq!(apply("/v2/..{rest}/x", "/v1/**", "/v1/;a"), Err(BadPath::DotParameter));
    }

    #[test]
    fn a_rewritten_path_keeps_the_query_on_its_way_to_the_upstream() {
        let pattern = Pattern::parse("/v1/{rest}").expect("a pattern");
        let rewrite = Rewrite::Template(Template::parse("/v2/{rest}", &pattern).expect("a template"));
        let config = serde_json::from_value(serde_json::json!({"endpoints": ["127.0.0.1:9"]})).expect("an upstream");
        let pool = Arc::new(Pool::new("main", &config, None, &crate::telemetry::Metrics::new(), None));
        let head = RequestHeader::build("GET", b"/v1/a?b=c", None).expect("a head");
        let upstreams = Upstreams::new();

        let action = Upstream { pool, rewrite: Some(rewrite), choice: None };
        let facts = Facts::new([127, 0, 0, 1].into(), http::HeaderValue::from_static("1"));
        let Act::Ask(ask) = action.act(&head, &facts, &upstreams) else { panic!("it answers") };

        assert_eq!((ask.path.as_deref(), ask.line(&head)), (Some("/v2/a"), "GET /v2/a?b=c".to_owned()));
    }

    #[test]
    fn a_filter_may_choose_another_upstream_of_the_configuration_and_no_other() {
        let metrics = crate::telemetry::Metrics::new();
        let config = serde_json::from_value(serde_json::json!({"endpoints": ["127.0.0.1:9"]})).expect("an upstream");
        let upstreams: Upstreams =
            ["main", "other"].into_iter().map(|name| (name.to_owned(), Arc::new(Pool::new(name, &config, None, &metrics, None)))).collect();
        let action = Upstream { pool: upstreams["main"].clone(), rewrite: None, choice: None };
        let head = RequestHeader::build("GET", b"/", None).expect("a head");
        let mut facts = Facts::new([127, 0, 0, 1].into(), http::HeaderValue::from_static("1"));

        let mut asked = |name: &str| {
            facts.upstream = Some(name.into());
            match action.act(&head, &facts, &upstreams) {
                Act::Ask(ask) => ask.pool.name.to_string(),
                Act::Answer(_) => "an answer".to_owned(),
                Act::Compose(_) => "calls".to_owned(),
            }
        };

        assert_eq!([asked("main"), asked("other"), asked("nowhere")], ["main", "other", "main"]);
    }
}
