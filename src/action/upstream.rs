//! A route that leads to an upstream, with the path that the upstream is sent in place of the client's.

use std::sync::Arc;

use frontgate_filters::filter::Facts;
use frontgate_filters::words::spanned::Spanned;
use http::header::HOST;
use pingora_http::RequestHeader;

use super::{Act, Action, Upstreams};
use crate::config::check::{Check, Report};
use crate::config::model;
use crate::router::{Pattern, Segment, Template};
use crate::upstream::Pool;

/// An upstream, and what it is sent.
struct Upstream {
    pool: Arc<Pool>,
    rewrite: Option<Rewrite>,
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
            Self::Path(template) => {
                if !template.starts_with('/') {
                    report.error(template.place, format!("`{}` does not begin with a slash", template.value));
                } else if let Err(why) = Template::parse(template, path) {
                    report.error(template.place, why);
                }
            }
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

/// Compiles a checked name and rewrite.
pub(super) fn compile(
    name: &str,
    rewrite: Option<&model::Rewrite>,
    path: &Pattern,
    upstreams: &Upstreams,
) -> Result<Box<dyn Action>, String> {
    let pool = upstreams.get(name).cloned().ok_or_else(|| format!("there is no upstream `{name}`"))?;
    let rewrite = match rewrite {
        None => None,
        Some(model::Rewrite::StripPrefix(prefix)) => Some(Rewrite::Strip(prefix.trim_end_matches('/').len())),
        Some(model::Rewrite::Path(template)) => Some(Rewrite::Template(Template::parse(template, path)?)),
    };
    Ok(Box::new(Upstream { pool, rewrite }))
}

impl Rewrite {
    /// The path that is sent for this normalised one.
    fn apply(&self, path: &str) -> String {
        match self {
            Self::Strip(length) => match path.get(*length..) {
                Some(rest) if rest.starts_with('/') => rest.to_owned(),
                Some(rest) => format!("/{rest}"),
                None => "/".to_owned(),
            },
            Self::Template(template) => template.expand(path),
        }
    }
}

impl Action for Upstream {
    fn upstream(&self) -> Option<&Arc<str>> {
        Some(&self.pool.name)
    }

    /// Settles the upstream, after the filters that may choose another than the route names.
    fn act<'a>(&'a self, head: &RequestHeader, facts: &Facts, upstreams: &'a Upstreams) -> Act<'a> {
        let chosen = facts.upstream.as_ref().filter(|name| !Arc::ptr_eq(name, &self.pool.name));
        let pool = chosen.and_then(|name| upstreams.get(&**name)).unwrap_or(&self.pool);
        Act::Ask(Ask { pool, path: self.rewrite.as_ref().map(|rewrite| rewrite.apply(head.uri.path())) })
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
        host.and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stripped_prefix_always_leaves_a_path() {
        let rewrite = Rewrite::Strip("/api".len());

        assert_eq!(["/api/x/y", "/api/", "/api", "/a"].map(|path| rewrite.apply(path)), ["/x/y", "/", "/", "/"]);
    }

    #[test]
    fn a_rewritten_path_keeps_the_query_on_its_way_to_the_upstream() {
        let pattern = Pattern::parse("/v1/{rest}").expect("a pattern");
        let rewrite = Rewrite::Template(Template::parse("/v2/{rest}", &pattern).expect("a template"));
        let config = serde_json::from_value(serde_json::json!({"endpoints": ["127.0.0.1:9"]})).expect("an upstream");
        let pool = Arc::new(Pool::new("main", &config, &crate::telemetry::Metrics::new(), None));
        let head = RequestHeader::build("GET", b"/v1/a?b=c", None).expect("a head");
        let upstreams = Upstreams::new();

        let action = Upstream { pool, rewrite: Some(rewrite) };
        let facts = Facts::new([127, 0, 0, 1].into(), http::HeaderValue::from_static("1"));
        let Act::Ask(ask) = action.act(&head, &facts, &upstreams) else { panic!("it answers") };

        assert_eq!((ask.path.as_deref(), ask.line(&head)), (Some("/v2/a"), "GET /v2/a?b=c".to_owned()));
    }

    #[test]
    fn a_filter_may_choose_another_upstream_of_the_configuration_and_no_other() {
        let metrics = crate::telemetry::Metrics::new();
        let config = serde_json::from_value(serde_json::json!({"endpoints": ["127.0.0.1:9"]})).expect("an upstream");
        let upstreams: Upstreams =
            ["main", "other"].into_iter().map(|name| (name.to_owned(), Arc::new(Pool::new(name, &config, &metrics, None)))).collect();
        let action = Upstream { pool: upstreams["main"].clone(), rewrite: None };
        let head = RequestHeader::build("GET", b"/", None).expect("a head");
        let mut facts = Facts::new([127, 0, 0, 1].into(), http::HeaderValue::from_static("1"));

        let mut asked = |name: &str| {
            facts.upstream = Some(name.into());
            match action.act(&head, &facts, &upstreams) {
                Act::Ask(ask) => ask.pool.name.to_string(),
                Act::Answer(_) => "an answer".to_owned(),
            }
        };

        assert_eq!([asked("main"), asked("other"), asked("nowhere")], ["main", "other", "main"]);
    }
}
