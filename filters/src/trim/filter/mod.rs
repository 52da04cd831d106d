//! The filter around the engine: which policy a request gets, what HTTP says of a body that is no longer the upstream's.

mod counts;
mod kind;
mod mark;
mod trimming;
mod validators;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use http::{HeaderValue, StatusCode};

use self::counts::{Counters, Metrics};
use self::trimming::Trimming;
use self::validators::{ask_for_plain, versioned};
use super::config::Config;
use crate::count::metrics::NONE;
use crate::filter::build::Build;
use crate::filter::options::{Options, Placement};
use crate::filter::{Filter, Request, Verdict};
use crate::json::{OnMalformed, Path, Policy};
use crate::reply::Reply;
use crate::words::selector::Selector;
use crate::words::spanned::{Problem, Spanned};

/// The most fields that a client may name.
const MOST_FIELDS: usize = 32;
/// How many lists of fields are kept compiled.
const KEPT_LISTS: usize = 1024;

impl Options for Config {
    /// Always anew, since routes may have come and gone; it has no state.
    fn build(&self, with: &Build<'_>) -> Result<Arc<dyn Filter>, String> {
        Ok(Arc::new(Trim::build(self, with)?))
    }

    fn problems(&self) -> Vec<Problem> {
        self.check()
    }

    fn fill(&self, written: &mut serde_json::Map<String, serde_json::Value>) {
        self.complete(written);
    }

    fn device_classes(&self) -> Vec<Spanned<&str>> {
        let profiles = self.profiles.iter().filter(|_| self.by.value == Selector::Device);
        profiles.map(|(name, profile)| Spanned { value: name.as_str(), place: profile.place }).collect()
    }

    fn selectors(&self) -> Vec<Spanned<&Selector>> {
        std::iter::once(&self.by).chain(&self.fields).map(Spanned::as_ref).collect()
    }

    /// In the tags of what it trims.
    fn depends_on_version(&self) -> bool {
        true
    }

    /// It refuses lists of fields that it cannot read.
    fn can_refuse(&self) -> bool {
        self.fields.is_some()
    }

    fn placement(&self) -> Vec<Placement> {
        vec![Placement::Once]
    }
}

/// The compiled filter.
pub struct Trim {
    by: Selector,
    fields: Option<Selector>,
    /// By the selector's value.
    profiles: HashMap<Box<[u8]>, usize>,
    /// The profiles and, last, `otherwise`.
    rules: Vec<Rule>,
    /// Profile and list of fields to what both let stay.
    lists: quick_cache::sync::Cache<(usize, String), Arc<Policy>>,
    /// What answers depend on, for `Vary`.
    vary: HeaderValue,
    routes: Vec<Arc<str>>,
    /// By route and rule, made when first used.
    counters: Arc<[OnceLock<Arc<Counters>>]>,
    metrics: Metrics,
    malformed: Option<OnMalformed>,
}

struct Rule {
    name: Arc<str>,
    policy: Arc<Policy>,
}

impl Trim {
    /// Compiles checked options.
    pub fn build(config: &Config, with: &Build<'_>) -> Result<Self, String> {
        let mut rules = Vec::new();
        let mut profiles = HashMap::new();
        for (name, profile) in &config.profiles {
            profiles.insert(name.as_bytes().into(), rules.len());
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
            metrics: Metrics::new(with.metrics),
            malformed: config.on_malformed.as_ref().map(|_| config.on_malformed(false)),
            rules,
        })
    }

    fn counters(&self, route: usize, rule: usize) -> Arc<Counters> {
        let route = route.min(self.routes.len());
        let slot = &self.counters[route * self.rules.len() + rule];
        slot.get_or_init(|| {
            let name: Arc<str> = self.routes.get(route).cloned().unwrap_or_else(|| NONE.into());
            Arc::new(self.metrics.of(name, &self.rules[rule].name))
        })
        .clone()
    }

    /// What both the profile and the client's own list let stay. `Err` for what is not a list of fields.
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
        let found = if request.is_explained() { value.map(|value| String::from_utf8_lossy(&value).into_owned()) } else { None };
        let list = self.fields.as_ref().and_then(|selector| selector.find(request.head, request.facts));
        // What is not text names nothing; read as text all the same it is no list of paths, or one of paths that lead nowhere.
        let list = list.map(|list| String::from_utf8_lossy(&list).into_owned());
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
                        "The list of fields must be paths separated by commas.",
                    ));
                }
            },
        };
        request.because(|| {
            let name = &self.rules[rule].name;
            let value = found.as_deref().map_or_else(|| format!("{} is missing", self.by), |value| format!("{} is {value:?}", self.by));
            let fields = list.as_deref().map_or_else(String::new, |list| format!(", narrowed to {list:?}"));
            if policy.is_noop() {
                format!("{value}: profile `{name}` removes nothing")
            } else {
                format!("{value}: profile `{name}`{fields}")
            }
        });
        let fingerprint = versioned(policy.fingerprint(), request.facts.version.as_ref());
        let coding = if policy.is_noop() { None } else { ask_for_plain(request.head, fingerprint) };
        // What a filter outside of this one packs comes to it plain.
        let coding = coding.filter(|_| !request.facts.packed);
        request.facts.trims = Some(policy.clone()).filter(|policy| !policy.is_noop());
        if request.is_explained() {
            return Verdict::Continue;
        }
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
            fingerprint,
            on_malformed,
            counters,
            coding,
            work: None,
        }))
    }
}
