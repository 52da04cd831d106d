//! What can be written under `rbac`, and the mistakes that its types cannot refuse: cycles, unknown roles, permissions that never match.

use std::collections::BTreeMap;
use std::fmt;

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::pattern::Pattern;
use crate::words::selector::{ClaimPath, Selector};
use crate::words::spanned::{Place, Problem, Spanned};

/// The options of `rbac`. At least one of `any_of`, `all_of`, `none_of` and `roles` must be set, and all that are set must pass.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(try_from = "Written", into = "Written")]
pub struct Config {
    /// What says who the caller is.
    pub source: Source,
    /// The source must hold at least one of these.
    pub any_of: Option<List>,
    /// The source must hold all of these.
    pub all_of: Option<List>,
    /// The source must hold none of these. A missing one is denied, too.
    pub none_of: Option<List>,
    /// What each role may do.
    pub roles: Option<Spanned<Roles>>,
}

/// What says who a caller is.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A claim of the verified token.
    Claim(Spanned<ClaimPath>),
    /// A fact of the client's certificate.
    Certificate(Spanned<Selector>),
}

/// As it is written.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The claim that holds roles or scopes, as a list or as words separated by spaces; a dotted path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claim: Option<Spanned<ClaimPath>>,
    /// In place of `claim`, a fact of the client's certificate: `client_cert.cn`, `client_cert.subject` or `client_cert.san`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Spanned<Selector>>,
    /// The claim must hold at least one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    any_of: Option<List>,
    /// The claim must hold all of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    all_of: Option<List>,
    /// The claim must hold none of these. A missing claim is denied, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    none_of: Option<List>,
    /// What each role may do: `GET /a/**`, `* /**`, or another role's name, whose permissions it inherits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    roles: Option<Spanned<Roles>>,
}

impl TryFrom<Written> for Config {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let Written { claim, by, any_of, all_of, none_of, roles } = written;
        let source = match (claim, by) {
            (Some(claim), None) => Source::Claim(claim),
            (None, Some(fact)) => Source::Certificate(fact),
            (None, None) => return Err("the key `claim` is missing: name the claim that holds roles or scopes"),
            (Some(_), Some(_)) => return Err("write either `claim` or `by`: a list holds what one of them says"),
        };
        Ok(Self { source, any_of, all_of, none_of, roles })
    }
}

impl From<Config> for Written {
    fn from(config: Config) -> Self {
        let (claim, by) = match config.source {
            Source::Claim(claim) => (Some(claim), None),
            Source::Certificate(fact) => (None, Some(fact)),
        };
        Self { claim, by, any_of: config.any_of, all_of: config.all_of, none_of: config.none_of, roles: config.roles }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(claim) => claim.value.fmt(f),
            Self::Certificate(fact) => fact.value.fmt(f),
        }
    }
}

impl Source {
    /// Where it is written.
    pub(super) fn place(&self) -> Place {
        match self {
            Self::Claim(claim) => claim.place,
            Self::Certificate(fact) => fact.place,
        }
    }
}

/// Texts, each with its place.
pub type List = Spanned<Vec<Spanned<String>>>;
/// Each role with what it may do.
pub type Roles = BTreeMap<String, List>;

/// A method and a path.
#[derive(Clone, Debug)]
pub(super) struct Permission {
    /// None: every method.
    pub method: Option<Method>,
    pub path: Pattern,
}

impl Permission {
    /// Reads `GET /a/**`; the error says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (method, path) = text.split_once(' ').ok_or_else(|| format!("`{text}` is not a permission: write a method and a path"))?;
        let method = match method {
            "*" => None,
            name => {
                let is_method = !name.bytes().any(|byte| byte.is_ascii_lowercase());
                let method = Method::from_bytes(name.as_bytes()).ok().filter(|_| is_method);
                Some(method.ok_or_else(|| format!("`{name}` is not a method"))?)
            }
        };
        let path = Pattern::parse(path.trim_start()).map_err(|why| format!("`{}` is not a path: {why}", path.trim_start()))?;
        Ok(Self { method, path })
    }

    /// Whether it covers this request. GET brings HEAD along, as in routes.
    pub(super) fn covers(&self, method: &Method, path: &str) -> bool {
        let method_fits = match &self.method {
            None => true,
            Some(own) => own == method || (own == Method::GET && method == Method::HEAD),
        };
        method_fits && self.path.matches(path)
    }
}

/// An entry with a space or a slash is a permission, any other is a role.
pub(super) fn is_permission(entry: &str) -> bool {
    entry.contains([' ', '/'])
}

impl Config {
    /// Everything that is wrong.
    pub(super) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Source::Certificate(fact) = &self.source
            && !fact.is_of_certificate()
        {
            let message = format!("`{}` is nothing that a client has proved: `by` takes a fact of its certificate", fact.value);
            let help = match &fact.value {
                Selector::Claim(path) => format!("write `claim: {path}`"),
                _ => "write `client_cert.cn`, `client_cert.subject` or `client_cert.san`".to_owned(),
            };
            problems.push(Problem::at(fact.place, message).help(help));
        }
        let lists = [("any_of", &self.any_of), ("all_of", &self.all_of), ("none_of", &self.none_of)];
        for (key, list) in lists {
            let Some(list) = list else { continue };
            if list.is_empty() {
                problems.push(Problem::lacking(list.place, format!("`{key}` is empty: add names, or leave it out")));
            }
            for name in list.iter().filter(|name| name.is_empty()) {
                problems.push(Problem::at(name.place, "an empty name matches nobody"));
            }
        }
        if lists.iter().all(|(_, list)| list.is_none()) && self.roles.is_none() {
            problems.push(Problem::lacking(self.source.place(), "this `rbac` checks nothing: set any_of, all_of, none_of or roles"));
        }
        if let Some(written) = &self.roles {
            roles(written, matches!(self.source, Source::Certificate(_)), &mut problems);
        }
        problems
    }
}

/// `names`: the roles are names of certificates, which hold what they hold; one with a space or a slash cannot be inherited.
fn roles(roles: &Spanned<Roles>, names: bool, problems: &mut Vec<Problem>) {
    if roles.is_empty() {
        problems.push(Problem::lacking(roles.place, "`roles` is empty: everybody would be denied"));
    }
    for (name, entries) in &roles.value {
        if name.is_empty() || !names && is_permission(name) {
            problems.push(Problem::at(
                entries.place,
                format!("`{name}` is not a name for a role: it must not be empty or hold a space or a slash"),
            ));
        }
        for entry in &entries.value {
            if is_permission(entry) {
                problems.extend(Permission::parse(entry).err().map(|why| Problem::at(entry.place, why)));
            } else if !roles.contains_key(entry.as_str()) {
                let help = format!("the roles are {}", roles.keys().cloned().collect::<Vec<_>>().join(", "));
                problems.push(Problem::lacking(entry.place, format!("there is no role `{}`", entry.value)).help(help));
            } else if let Some(way) = back(roles, name, entry).filter(|way| way.iter().all(|role| name.as_str() <= *role)) {
                // Each cycle is told once, from the first of its roles.
                let message = format!("`{name}` inherits from itself: {name} → {}", way.join(" → "));
                problems.push(Problem::at(entry.place, message));
            }
        }
    }
}

/// The way from `at` along inherited roles back to `name`.
fn back<'r>(roles: &'r Roles, name: &str, at: &'r str) -> Option<Vec<&'r str>> {
    let mut seen = Vec::new();
    let mut open = vec![vec![at]];
    while let Some(way) = open.pop() {
        let last = *way.last()?;
        if last == name {
            return Some(way);
        }
        if seen.contains(&last) {
            continue;
        }
        seen.push(last);
        for next in roles.get(last).into_iter().flat_map(|entries| entries.iter()).filter(|entry| !is_permission(entry)) {
            open.push([&way[..], &[next.as_str()]].concat());
        }
    }
    None
}
