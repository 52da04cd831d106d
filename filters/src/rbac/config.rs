//! What can be written under `rbac`, and the mistakes that its types cannot refuse: cycles, unknown roles, permissions that never match.

use std::collections::BTreeMap;

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::pattern::Pattern;
use crate::words::selector::ClaimPath;
use crate::words::spanned::{Problem, Spanned};

/// The options of `rbac`. At least one of `any_of`, `all_of`, `none_of` and `roles` must be set, and all that are set must pass.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The claim that holds roles or scopes, as a list or as words separated by spaces; a dotted path.
    pub claim: Spanned<ClaimPath>,
    /// The claim must hold at least one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any_of: Option<List>,
    /// The claim must hold all of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_of: Option<List>,
    /// The claim must hold none of these. A missing claim is denied, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub none_of: Option<List>,
    /// What each role may do: `GET /a/**`, `* /**`, or another role's name, whose permissions it inherits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Spanned<Roles>>,
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
            problems.push(Problem::lacking(self.claim.place, "this `rbac` checks nothing: set any_of, all_of, none_of or roles"));
        }
        if let Some(written) = &self.roles {
            roles(written, &mut problems);
        }
        problems
    }
}

fn roles(roles: &Spanned<Roles>, problems: &mut Vec<Problem>) {
    if roles.is_empty() {
        problems.push(Problem::lacking(roles.place, "`roles` is empty: everybody would be denied"));
    }
    for (name, entries) in &roles.value {
        if name.is_empty() || is_permission(name) {
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
