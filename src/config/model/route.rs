//! `routes`: which requests each takes, and what they lead to.

use frontgate_filters::filter::build::Secret;
use frontgate_filters::registry::FilterEntry;
use frontgate_filters::reply::respond::Respond;
use frontgate_filters::words::matching::Match;
use frontgate_filters::words::selector::Selector;
use frontgate_filters::words::spanned::Spanned;
use frontgate_filters::words::units::{Duration, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::canary::{CanaryOptions, Variant};
use super::forms::{Short, deserialize_short_or_long, schemas, short_or};
use super::split::{Sent, Split};
use super::{Aggregate, Graphql, Mirror, Saga};

/// A route: which requests it takes, and what they lead to: exactly one of `upstream`, `redirect`, `respond`, `aggregate`,
/// `graphql` and `saga`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(from = "Keys", into = "Keys")]
pub struct Route {
    /// Its name in logs and metrics.
    pub name: Spanned<String>,
    /// The host: `shop.example` or `*.shop.example`; by default every host.
    pub host: Option<Spanned<String>>,
    /// The path pattern: literal segments, `{name}` for one segment, `**` at the end for any number.
    pub path: Spanned<String>,
    /// Methods; by default all. GET includes HEAD.
    pub methods: Option<Spanned<Vec<Spanned<String>>>>,
    /// Facts that a request must have, too.
    pub when: Option<Spanned<Match>>,
    /// What its requests lead to.
    pub target: Target,
    /// Filters in order: names, or filters written inline.
    pub filters: Vec<Spanned<FilterUse>>,
    /// Changes the path that is sent to the upstream.
    pub rewrite: Option<Spanned<Rewrite>>,
    /// Copies of its requests for another upstream.
    pub mirror: Option<Spanned<Mirror>>,
    /// Timeout of all attempts together, to the last byte; by default none.
    pub timeout: Option<Duration>,
    /// Limits that override the server's.
    pub limits: Option<RouteLimits>,
    /// How late its requests are refused under overload.
    pub priority: Priority,
    /// Versions beside its upstream, in the order in which they are tried.
    pub canary: Vec<Spanned<Variant>>,
    /// What those have in common.
    pub canary_options: Option<Spanned<CanaryOptions>>,
}

impl Route {
    /// The upstreams that it names, for whichever of its requests.
    pub fn upstreams(&self) -> impl Iterator<Item = &Spanned<String>> {
        self.target.upstreams().chain(self.canary.iter().filter_map(|variant| variant.upstream.as_ref()))
    }

    /// The keys that its cookies are signed with.
    pub fn cookie_keys(&self) -> impl Iterator<Item = &Spanned<Secret>> {
        let sticky = self.canary_options.iter().filter_map(|options| options.sticky.as_ref()).map(|sticky| &sticky.key);
        let after = self.target.written().iter().filter_map(|target| match target {
            Target::Apart(split) => split.after_write.as_ref().and_then(|after| after.key.as_ref()),
            _ => None,
        });
        sticky.chain(after)
    }

    /// The facts that decide between its upstreams.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        let matched = self.canary.iter().flat_map(|variant| &variant.matches).flat_map(|matches| &matches.facts).map(|fact| &fact.selector);
        let drawn = self.canary.iter().flat_map(|variant| variant.drawn_by()).map(|by| by.value);
        let after = self.target.written().iter().filter_map(|target| match target {
            Target::Apart(split) => split.after_write.as_ref().map(|after| &after.by.value),
            _ => None,
        });
        matched.chain(drawn).chain(after)
    }
}

/// What a route leads to: exactly one of the keys that the variants are named after.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// An upstream answers.
    Upstream(Spanned<String>),
    /// One upstream answers reads, and another everything else.
    Apart(Spanned<Split>),
    /// The client is sent elsewhere.
    Redirect(Spanned<Redirect>),
    /// A fixed answer.
    Respond(Spanned<Respond>),
    /// One answer made of several calls.
    Aggregate(Box<Spanned<Aggregate>>),
    /// A schema whose fields are answered from calls.
    Graphql(Box<Spanned<Graphql>>),
    /// Steps that either all come about, or are taken back.
    Saga(Box<Spanned<Saga>>),
    /// None of the keys is written, or these are: the check refuses both, and also reports what is wrong with each.
    Unclear(Vec<Self>),
}

impl Target {
    /// What is written: one, except where the check refuses the route.
    pub fn written(&self) -> &[Self] {
        match self {
            Self::Unclear(several) => several,
            one => std::slice::from_ref(one),
        }
    }

    /// The upstreams that are named.
    pub fn upstreams(&self) -> impl Iterator<Item = &Spanned<String>> {
        self.written().iter().flat_map(|target| match target {
            Self::Upstream(name) => vec![name],
            Self::Apart(split) => vec![&split.read, &split.write],
            Self::Aggregate(aggregate) => aggregate.upstreams().collect(),
            Self::Graphql(graphql) => graphql.upstreams().collect(),
            Self::Saga(saga) => saga.upstreams().collect(),
            Self::Redirect(_) | Self::Respond(_) | Self::Unclear(_) => Vec::new(),
        })
    }

    /// Whether requests are passed on to an upstream.
    pub fn is_proxied(&self) -> bool {
        self.written().iter().any(|target| matches!(target, Self::Upstream(_) | Self::Apart(_)))
    }

    /// Whether requests are answered from calls that are made while their client waits.
    pub fn makes_calls(&self) -> bool {
        self.aggregate().is_some() || self.graphql().is_some()
    }

    /// What its calls are, where it is an aggregate.
    pub fn aggregate(&self) -> Option<&Spanned<Aggregate>> {
        self.written().iter().find_map(|target| match target {
            Self::Aggregate(aggregate) => Some(&**aggregate),
            _ => None,
        })
    }

    /// Its schema, where it has one.
    pub fn graphql(&self) -> Option<&Spanned<Graphql>> {
        self.written().iter().find_map(|target| match target {
            Self::Graphql(graphql) => Some(&**graphql),
            _ => None,
        })
    }

    /// Its steps, where it is a saga.
    pub fn saga(&self) -> Option<&Spanned<Saga>> {
        self.written().iter().find_map(|target| match target {
            Self::Saga(saga) => Some(&**saga),
            _ => None,
        })
    }
}

/// A route as it is written: all keys on one level.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Route")]
struct Keys {
    /// Its name in logs and metrics.
    name: Spanned<String>,
    /// The host: `shop.example` or `*.shop.example`; by default every host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<Spanned<String>>,
    /// The path pattern: literal segments, `{name}` for one segment, `**` at the end for any number.
    path: Spanned<String>,
    /// Methods; by default all. GET includes HEAD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    methods: Option<Spanned<Vec<Spanned<String>>>>,
    /// Facts that a request must have, too: a value, a list of values, or `"*"` for any. Routes of one host and path are tried in their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when: Option<Spanned<Match>>,
    /// The upstream that requests are sent to, or `{read: …, write: …}`: one for reads and one for everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upstream: Option<Spanned<Sent>>,
    /// A redirect, instead of an upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    redirect: Option<Spanned<Redirect>>,
    /// A fixed answer, instead of an upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    respond: Option<Spanned<Respond>>,
    /// Several calls of which one answer is made, instead of an upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aggregate: Option<Box<Spanned<Aggregate>>>,
    /// A GraphQL schema whose fields are answered from calls, instead of an upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    graphql: Option<Box<Spanned<Graphql>>>,
    /// Steps that either all come about or are taken back, through a crash too, instead of an upstream. It takes `server.state_dir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    saga: Option<Box<Spanned<Saga>>>,
    /// Filters in order: names, or filters written inline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    filters: Vec<Spanned<FilterUse>>,
    /// Changes the path that is sent to the upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rewrite: Option<Spanned<Rewrite>>,
    /// Copies of its requests for another upstream, of which nothing is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mirror: Option<Spanned<Mirror>>,
    /// Timeout of all attempts together, to the last byte; by default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Duration>,
    /// Limits that override the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limits: Option<RouteLimits>,
    /// What becomes of its requests while the gateway is overloaded; by default `normal`.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    priority: Priority,
    /// Versions beside its upstream, in the order in which they are tried; what none of them takes is the upstream's own, `stable`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    canary: Vec<Spanned<Variant>>,
    /// What all versions of `canary` have in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    canary_options: Option<Spanned<CanaryOptions>>,
}

impl From<Keys> for Route {
    fn from(keys: Keys) -> Self {
        let upstream = keys.upstream.map(|Spanned { value, place }| match value {
            Sent::To(value) => Target::Upstream(Spanned { value, place }),
            Sent::Apart(value) => Target::Apart(Spanned { value: *value, place }),
        });
        let others = [
            keys.redirect.map(Target::Redirect),
            keys.respond.map(Target::Respond),
            keys.aggregate.map(Target::Aggregate),
            keys.graphql.map(Target::Graphql),
            keys.saga.map(Target::Saga),
        ];
        let mut written: Vec<Target> = upstream.into_iter().chain(others.into_iter().flatten()).collect();
        let target = if written.len() == 1 { written.remove(0) } else { Target::Unclear(written) };
        Self {
            name: keys.name,
            host: keys.host,
            path: keys.path,
            methods: keys.methods,
            when: keys.when,
            target,
            filters: keys.filters,
            rewrite: keys.rewrite,
            mirror: keys.mirror,
            timeout: keys.timeout,
            limits: keys.limits,
            priority: keys.priority,
            canary: keys.canary,
            canary_options: keys.canary_options,
        }
    }
}

impl From<Route> for Keys {
    fn from(route: Route) -> Self {
        let mut keys = Self {
            name: route.name,
            host: route.host,
            path: route.path,
            methods: route.methods,
            when: route.when,
            upstream: None,
            redirect: None,
            respond: None,
            aggregate: None,
            graphql: None,
            saga: None,
            filters: route.filters,
            rewrite: route.rewrite,
            mirror: route.mirror,
            timeout: route.timeout,
            limits: route.limits,
            priority: route.priority,
            canary: route.canary,
            canary_options: route.canary_options,
        };
        for target in route.target.written().iter().cloned() {
            match target {
                Target::Upstream(Spanned { value, place }) => keys.upstream = Some(Spanned { value: Sent::To(value), place }),
                Target::Apart(Spanned { value, place }) => keys.upstream = Some(Spanned { value: Sent::Apart(Box::new(value)), place }),
                Target::Redirect(redirect) => keys.redirect = Some(redirect),
                Target::Respond(respond) => keys.respond = Some(respond),
                Target::Aggregate(aggregate) => keys.aggregate = Some(aggregate),
                Target::Graphql(graphql) => keys.graphql = Some(graphql),
                Target::Saga(saga) => keys.saga = Some(saga),
                Target::Unclear(_) => {}
            }
        }
        keys
    }
}

/// How much a route's requests matter while the gateway is overloaded.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// They are the first that are refused.
    Low,
    /// They are refused where that was not enough.
    #[default]
    Normal,
    /// They are always served.
    High,
}

impl Priority {
    fn is_normal(&self) -> bool {
        *self == Self::Normal
    }
}

/// Limits of a route that override the server's.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RouteLimits {
    /// Maximum size of the request body; above it 413.
    pub body: Size,
}

/// A redirect: `{to: "/new/{rest}", status: 308}`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// The location: a path or an absolute URL. Variables of the route's path are written in braces; the query is kept.
    pub to: Spanned<String>,
    /// 301, 302, 303, 307 or 308 (default).
    #[serde(default = "Redirect::default_status")]
    pub status: Spanned<u16>,
}

impl Redirect {
    fn default_status() -> Spanned<u16> {
        Spanned::nowhere(308)
    }
}

/// Changes the path that is sent to the upstream: one of the two keys.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Rewrite {
    /// Removes this prefix, which consists of whole segments.
    StripPrefix(Spanned<String>),
    /// Another path, with variables of the route's path in braces; `{rest}` is what `**` matched.
    Path(Spanned<String>),
}

/// A filter of a list: a name, or a filter written inline.
#[derive(Clone, Debug, PartialEq)]
pub enum FilterUse {
    /// One of `filters`.
    Named(String),
    /// A filter for this list alone.
    Inline(FilterEntry),
}

impl From<FilterEntry> for FilterUse {
    fn from(entry: FilterEntry) -> Self {
        Self::Inline(entry)
    }
}

impl Short for FilterUse {
    type Long = FilterEntry;
    const EXPECTED: &'static str = "the name of a filter, or a map of one key, the filter's kind";
    fn short(text: &str) -> Result<Self, String> {
        Ok(Self::Named(text.to_owned()))
    }
}

impl Serialize for FilterUse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Named(name) => serializer.serialize_str(name),
            Self::Inline(entry) => entry.serialize(serializer),
        }
    }
}

deserialize_short_or_long!(FilterUse);

schemas! {
    FilterUse: "FilterUse" = |generator| short_or(generator.subschema_for::<FilterEntry>(), "The name of a filter, or a filter written inline.");
}
