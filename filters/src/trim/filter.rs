//! The filter around the engine: which policy a request gets, what HTTP says of a body that is no longer the upstream's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE, VARY,
};
use http::{HeaderName, HeaderValue, StatusCode};
use pingora_http::{RequestHeader, ResponseHeader};
use smallvec::SmallVec;

use super::coding::{Coding, Opener, Packer};
use super::config::Config;
use super::{OnMalformed, Path, Policy, Trimmer};
use crate::count::metrics::FilterMetrics;
use crate::count::stripe::Counter;
use crate::filter::build::Build;
use crate::filter::{Attempt, Filter, Flow, Outcome, Request, Rescue, ResponseFilter, Verdict, Want};
use crate::reply::Reply;
use crate::words::selector::Selector;

/// Clients may name so many fields.
const MOST_FIELDS: usize = 32;
/// So many lists of fields are kept compiled.
const KEPT_LISTS: usize = 1024;
/// Shorter answers are not worth packing.
const WORTH_PACKING: u64 = 1024;
/// Digests of a body that is another one now (RFC 9530, and what came before it).
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// The compiled filter.
pub struct Trim {
    by: Selector,
    fields: Option<Selector>,
    /// By the selector's value.
    profiles: HashMap<String, usize>,
    /// The profiles and, last, `otherwise`.
    rules: Vec<Rule>,
    /// Profile and list of fields to what both let stay.
    lists: quick_cache::sync::Cache<(usize, String), Arc<Policy>>,
    /// What answers depend on, for `Vary`.
    vary: HeaderValue,
    routes: Vec<Arc<str>>,
    /// By route and rule, made when first used.
    counters: Arc<[OnceLock<Arc<Counters>>]>,
    metrics: FilterMetrics,
    malformed: Option<OnMalformed>,
}

struct Rule {
    name: Arc<str>,
    policy: Arc<Policy>,
}

struct Counters {
    route: Arc<str>,
    input: Counter,
    output: Counter,
    metrics: FilterMetrics,
    told: AtomicBool,
}

impl Counters {
    /// The answer was not trimmed, or not to its end; said in the log once for a route and profile.
    fn skipped(&self, reason: &'static str, profile: &str) {
        self.metrics.trim_skipped.with_label_values(&[&*self.route, reason]).inc();
        if reason != "not_json" && !self.told.swap(true, Ordering::Relaxed) {
            log::warn!(
                "an answer of the route `{}` cannot be trimmed for `{profile}`: {reason}; further ones are only counted",
                self.route
            );
        }
    }
}

impl Trim {
    /// Compiles checked options.
    pub fn build(config: &Config, with: &Build<'_>) -> Result<Self, String> {
        let mut rules = Vec::new();
        let mut profiles = HashMap::new();
        for (name, profile) in &config.profiles {
            profiles.insert(name.clone(), rules.len());
            rules.push(Rule { name: name.as_str().into(), policy: Arc::new(profile.rule().policy()?) });
        }
        let nothing = Policy::drop(&[]).map_err(|error| error.to_string())?;
        let otherwise = config.otherwise.rule().map_or(Ok(nothing), |rule| rule.policy())?;
        rules.push(Rule { name: "otherwise".into(), policy: Arc::new(otherwise) });
        let routes = with.outside.routes().to_vec();
        let counters = (0..(routes.len() + 1) * rules.len()).map(|_| OnceLock::new()).collect();
        Ok(Self {
            by: config.by.value.clone(),
            fields: config.fields.as_ref().map(|fields| fields.value.clone()),
            profiles,
            lists: quick_cache::sync::Cache::new(KEPT_LISTS),
            vary: HeaderValue::from_str(&varies(&config.by, config.fields.as_ref().map(|fields| &fields.value)))
                .map_err(|error| error.to_string())?,
            routes,
            counters,
            metrics: with.metrics.clone(),
            malformed: config.on_malformed.as_ref().map(|_| config.on_malformed(false)),
            rules,
        })
    }

    fn counters(&self, route: usize, rule: usize) -> Arc<Counters> {
        let route = route.min(self.routes.len());
        let slot = &self.counters[route * self.rules.len() + rule];
        slot.get_or_init(|| {
            let name: Arc<str> = self.routes.get(route).cloned().unwrap_or_else(|| "_none".into());
            let labels = [&*name, &*self.rules[rule].name];
            Arc::new(Counters {
                input: self.metrics.trim_input_bytes.with_label_values(&labels),
                output: self.metrics.trim_output_bytes.with_label_values(&labels),
                route: name,
                metrics: self.metrics.clone(),
                told: AtomicBool::new(false),
            })
        })
        .clone()
    }

    /// What both the profile and the client's own list let stay. `Err` for a list that is none.
    fn narrowed(&self, rule: usize, list: &str) -> Result<Arc<Policy>, String> {
        let key = (rule, list.to_owned());
        if let Some(policy) = self.lists.get(&key) {
            return Ok(policy);
        }
        let paths = Path::list(list, MOST_FIELDS).map_err(|error| format!("{} (at byte {})", error.message, error.at + 1))?;
        if paths.is_empty() {
            return Ok(self.rules[rule].policy.clone());
        }
        let kept = Policy::keep(&paths).map_err(|error| error.to_string())?;
        let policy = Arc::new(self.rules[rule].policy.intersect(&kept).map_err(|error| error.to_string())?);
        self.lists.insert(key, policy.clone());
        Ok(policy)
    }
}

/// The request headers that an answer depends on.
fn varies(by: &Selector, fields: Option<&Selector>) -> String {
    let name = |selector: &Selector| match selector {
        Selector::Header(name) => name.as_str().to_owned(),
        other => other.varies_by().to_owned(),
    };
    let names: Vec<String> =
        std::iter::once(by).chain(fields).map(name).filter(|names| !names.is_empty()).chain(["Accept-Encoding".to_owned()]).collect();
    names.join(", ")
}

impl Filter for Trim {
    fn request<'a>(&'a self, request: &'a mut Request<'_>) -> Verdict<'a> {
        let value = self.by.find(request.head, request.facts);
        let rule = value.as_deref().and_then(|value| self.profiles.get(value)).copied().unwrap_or(self.rules.len() - 1);
        let found = if request.is_explained() { value.map(|value| value.into_owned()) } else { None };
        let list = self.fields.as_ref().and_then(|selector| selector.find(request.head, request.facts)).map(|list| list.into_owned());
        let policy = match list.as_deref().filter(|list| !list.trim().is_empty()) {
            None => self.rules[rule].policy.clone(),
            Some(list) => match self.narrowed(rule, list) {
                Ok(policy) => policy,
                Err(why) => {
                    request.because(|| format!("the list of fields cannot be used: {why}"));
                    request.facts.reason = "bad_fields";
                    return Verdict::Reply(Reply::problem(
                        StatusCode::BAD_REQUEST,
                        "bad_fields",
                        "The list of fields is not one of paths divided by commas.",
                    ));
                }
            },
        };
        request.because(|| {
            let name = &self.rules[rule].name;
            let value = found.as_deref().map_or_else(|| format!("{} says nothing", self.by), |value| format!("{} is {value:?}", self.by));
            let fields = list.as_deref().map_or_else(String::new, |list| format!(", narrowed to {list:?}"));
            if policy.is_noop() {
                format!("{value}: profile `{name}` leaves out nothing")
            } else {
                format!("{value}: profile `{name}`{fields}")
            }
        });
        let coding = if policy.is_noop() { None } else { ask_for_plain(request.head, policy.fingerprint()) };
        let on_malformed = match self.malformed {
            _ if policy.hides() => OnMalformed::Abort,
            Some(chosen) => chosen,
            None => OnMalformed::Pass,
        };
        let counters = self.counters(request.facts.route_index, rule);
        Verdict::ContinueWith(Box::new(Trimming {
            vary: self.vary.clone(),
            profile: if policy.is_noop() { None } else { Some(self.rules[rule].name.clone()) },
            policy,
            on_malformed,
            counters,
            coding,
            work: None,
        }))
    }
}

/// The upstream is asked for a whole and plain answer, and for news since the one that this policy made. What the client would like it
/// packed in.
fn ask_for_plain(head: &mut RequestHeader, fingerprint: u64) -> Option<Coding> {
    let coding = Coding::best(&head.headers);
    head.insert_header(ACCEPT_ENCODING, HeaderValue::from_static("identity")).expect("a known name and value");
    head.remove_header(&RANGE);
    head.remove_header(&IF_RANGE);
    let tags: Vec<String> =
        head.headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).flat_map(tags_of).map(str::to_owned).collect();
    if !tags.is_empty() {
        let suffix = format!("-{fingerprint:016x}\"");
        // A tag of another policy's answer must not be known to the upstream: 304 would leave the client with that answer.
        let own: Vec<String> = tags
            .iter()
            .filter_map(|tag| if tag == "*" { Some(tag.clone()) } else { tag.strip_suffix(&suffix).map(|start| format!("{start}\"")) })
            .collect();
        head.remove_header(&IF_NONE_MATCH);
        if let (false, Ok(value)) = (own.is_empty(), HeaderValue::from_str(&own.join(", "))) {
            head.insert_header(IF_NONE_MATCH, value).expect("a known name");
        }
    }
    coding
}

/// The entity tags of a list (RFC 9110, section 8.8.3); commas may stand within a tag.
fn tags_of(list: &str) -> Vec<&str> {
    let mut tags = Vec::new();
    let mut rest = list.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let quote = rest.find('"');
        let end = match quote {
            Some(open) if rest[..open].trim().is_empty() || rest[..open].trim() == "W/" => {
                rest[open + 1..].find('"').map_or(rest.len(), |close| open + 1 + close + 1)
            }
            _ => rest.find(',').unwrap_or(rest.len()),
        };
        tags.push(rest[..end].trim());
        rest = rest[end..].trim_start_matches([' ', '\t', ',']);
    }
    tags
}

/// One answer being trimmed.
struct Trimming {
    policy: Arc<Policy>,
    /// None where nothing is left out.
    profile: Option<Arc<str>>,
    on_malformed: OnMalformed,
    counters: Arc<Counters>,
    coding: Option<Coding>,
    vary: HeaderValue,
    work: Option<Box<Work>>,
}

struct Work {
    opener: Option<Opener>,
    trimmer: Trimmer,
    packer: Option<Packer>,
    skipped: bool,
}

impl Trimming {
    fn is_json(head: &ResponseHeader) -> bool {
        let Some(kind) = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else { return false };
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let Some((group, name)) = kind.split_once('/') else { return false };
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        let suffix = name.len().checked_sub("+json".len()).and_then(|at| name.get(at..));
        group.eq_ignore_ascii_case("application") && (is("json") || is("x-ndjson"))
            || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
    }

    /// How the body was packed by the upstream: `Err` where it cannot be opened.
    fn opener(head: &ResponseHeader) -> Result<Option<Opener>, ()> {
        let mut codings = head.headers.get_all(CONTENT_ENCODING).iter();
        let Some(coding) = codings.next() else { return Ok(None) };
        match coding.as_bytes() {
            _ if codings.next().is_some() => Err(()),
            b"identity" | b"" => Ok(None),
            coding => Opener::of(coding).map(Some).ok_or(()),
        }
    }
}

impl ResponseFilter for Trimming {
    /// What is hidden stays hidden where the body cannot be read.
    fn attempt(&mut self, attempt: &Attempt<'_>) -> Rescue {
        let Ok(head) = &attempt.result else { return Rescue::Pass };
        if attempt.last && self.policy.hides() && head.status.is_success() && Self::is_json(head) && Self::opener(head).is_err() {
            self.counters.skipped("encoding", self.profile.as_deref().unwrap_or_default());
            return Rescue::Reply(unreadable());
        }
        Rescue::Pass
    }

    fn head(&mut self, head: &mut ResponseHeader) -> Want {
        self.work = None;
        let is_news = head.status.is_success() && !matches!(head.status.as_u16(), 204..=206);
        let is_unchanged = head.status == StatusCode::NOT_MODIFIED;
        if !is_unchanged && (!is_news || !Self::is_json(head)) {
            if is_news && self.profile.is_some() {
                self.counters.skipped("not_json", "");
            }
            return Want::Nothing;
        }
        head.append_header(VARY, self.vary.clone()).expect("a known name");
        let Some(profile) = &self.profile else { return Want::Nothing };
        let Ok(opener) = (if is_unchanged { Ok(None) } else { Self::opener(head) }) else {
            self.counters.skipped("encoding", profile);
            return Want::Nothing;
        };
        mark_tag(head, self.policy.fingerprint());
        // One look at all names is cheaper than four in the map.
        let digests: SmallVec<[HeaderName; 4]> = head.headers.keys().filter(|name| DIGESTS.contains(name)).cloned().collect();
        for name in &digests {
            head.remove_header(name);
        }
        head.remove_header(&ACCEPT_RANGES);
        if is_unchanged {
            return Want::Nothing;
        }
        let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let worth = opener.is_some() || length.is_none_or(|length| length >= WORTH_PACKING);
        let packer = self.coding.filter(|_| worth).and_then(|coding| Some((coding, coding.packer().ok()?)));
        head.remove_header(&CONTENT_LENGTH);
        head.remove_header(&CONTENT_ENCODING);
        if let Some((coding, _)) = &packer {
            head.insert_header(CONTENT_ENCODING, HeaderValue::from_static(coding.name())).expect("a known name");
        }
        self.work = Some(Box::new(Work {
            opener,
            trimmer: Trimmer::new(self.policy.clone(), self.on_malformed),
            packer: packer.map(|(_, packer)| packer),
            skipped: false,
        }));
        Want::Chunks
    }

    fn body(&mut self, body: &mut Option<Bytes>, last: bool) -> Flow {
        let Some(work) = &mut self.work else { return Flow::Go };
        let profile = self.profile.as_deref().unwrap_or_default();
        if let Some(opener) = &mut work.opener {
            match opener.push(body.as_deref().unwrap_or_default(), last) {
                Ok(opened) => *body = Some(opened).filter(|opened| !opened.is_empty()),
                // Its head says that it is plain by now, so nothing else than an end can be sent.
                Err(_) => {
                    self.counters.skipped("encoding", profile);
                    return Flow::Abort;
                }
            }
        }
        let result = work.trimmer.push(body, last);
        if (result.is_err() || work.trimmer.was_malformed()) && !std::mem::replace(&mut work.skipped, true) {
            self.counters.skipped("malformed", profile);
        }
        if result.is_err() {
            return Flow::Abort;
        }
        if let Some(packer) = &mut work.packer
            && (last || body.is_some())
        {
            match packer.push(body.as_deref().unwrap_or_default(), last) {
                Ok(packed) => *body = Some(packed).filter(|packed| !packed.is_empty()),
                Err(_) => return Flow::Abort,
            }
        }
        Flow::Go
    }

    fn done(self: Box<Self>, _: &Outcome) {
        if let Some(work) = &self.work {
            self.counters.input.inc_by(work.trimmer.input_bytes());
            self.counters.output.inc_by(work.trimmer.output_bytes());
        }
    }
}

/// A tag of its own for what this policy leaves of an answer, and a weak one: other bytes may say the same.
fn mark_tag(head: &mut ResponseHeader, fingerprint: u64) {
    let Some(tag) = head.headers.get(ETAG).and_then(|tag| tag.to_str().ok()) else { return };
    let opaque = tag.trim_start_matches("W/");
    let marked =
        opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map(|opaque| format!("W/\"{opaque}-{fingerprint:016x}\""));
    match marked.and_then(|marked| HeaderValue::from_str(&marked).ok()) {
        Some(marked) => head.insert_header(ETAG, marked).expect("a known name"),
        None => {
            head.remove_header(&ETAG);
        }
    }
}

/// The answer in place of a body that cannot be read and must not be passed on as it is.
pub fn unreadable() -> Reply {
    Reply::problem(StatusCode::BAD_GATEWAY, "upstream_unreadable", "The service behind the gateway sent an answer that cannot be read.")
}
