//! `rbac`: what the caller may do, by roles or scopes of the verified token or by the client's certificate. What is not allowed is denied.
//!
//! ```yaml
//! shop_roles:
//!   rbac:
//!     claim: roles
//!     roles:
//!       viewer: [GET /api/v1/products/**]
//!       editor: [viewer, PUT /api/v1/products/**]
//! ```
//!
//! Names are compared byte by byte: no case folding, no trimming, no Unicode form. Permissions are matched against the normalised path,
//! before it is rewritten.

mod config;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};

pub use config::{Config, List, Roles, Source};

use crate::count::stripe::Counter;
use crate::filter::build::Build;
use crate::filter::options::{Options, Placement};
use crate::filter::{Facts, Filter, Request, Verdict};
use crate::reply::Reply;
use crate::words::claims::Claim;
use crate::words::selector::Selector;
use crate::words::spanned::{Problem, Spanned};
use config::{Permission, is_permission};

impl Options for Config {
    fn build(&self, with: &Build<'_>) -> Result<Arc<dyn Filter>, String> {
        with.kept_or(|| Rbac::build(self, with))
    }

    fn problems(&self) -> Vec<Problem> {
        self.check()
    }

    fn can_refuse(&self) -> bool {
        true
    }

    fn selectors(&self) -> Vec<Spanned<&Selector>> {
        match &self.source {
            Source::Claim(_) => Vec::new(),
            Source::Certificate(fact) => vec![fact.as_ref()],
        }
    }

    fn placement(&self) -> Vec<Placement> {
        match self.source {
            Source::Claim(_) => vec![Placement::AfterIdentity("callers without a token would be answered 401")],
            Source::Certificate(_) => Vec::new(),
        }
    }
}

/// The compiled filter.
pub struct Rbac {
    source: Source,
    any_of: Box<[Box<str>]>,
    all_of: Box<[Box<str>]>,
    none_of: Box<[Box<str>]>,
    /// Each role with what it may do, inherited permissions included.
    roles: Option<HashMap<Box<str>, Box<[Permission]>>>,
    /// The 403, with its challenge.
    refusal: Reply,
    allowed: Counter,
    denied: Box<[Counter]>,
}

/// Why a request is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Anonymous,
    MissingClaim,
    ClaimType,
    NoCertificate,
    NoName,
    NoneOf,
    AllOf,
    AnyOf,
    Permission,
}

impl Reason {
    const ALL: [Self; 9] = [
        Self::Anonymous,
        Self::MissingClaim,
        Self::ClaimType,
        Self::NoCertificate,
        Self::NoName,
        Self::NoneOf,
        Self::AllOf,
        Self::AnyOf,
        Self::Permission,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::MissingClaim => "missing_claim",
            Self::ClaimType => "claim_type",
            Self::NoCertificate => "no_certificate",
            Self::NoName => "no_name",
            Self::NoneOf => "none_of",
            Self::AllOf => "all_of",
            Self::AnyOf => "any_of",
            Self::Permission => "no_permission",
        }
    }
}

/// What a claim or a certificate holds.
#[derive(Clone, Copy)]
enum Held<'c> {
    /// Words between spaces (RFC 6749, section 3.3).
    Words(&'c str),
    /// Every member is text.
    List(&'c [Claim]),
    /// Names that may hold spaces themselves.
    Names(&'c [Box<str>]),
}

impl<'c> Held<'c> {
    fn of(claim: &'c Claim) -> Option<Self> {
        match claim {
            Claim::Text(text) => Some(Self::Words(text)),
            Claim::List(list) if list.iter().all(|item| item.text().is_some()) => Some(Self::List(list)),
            _ => None,
        }
    }

    fn any(self, mut check: impl FnMut(&str) -> bool) -> bool {
        match self {
            Self::Words(text) => text.split(' ').any(|word| !word.is_empty() && check(word)),
            Self::List(list) => list.iter().filter_map(Claim::text).any(check),
            Self::Names(names) => names.iter().any(|name| check(name)),
        }
    }

    fn has(self, name: &str) -> bool {
        self.any(|held| held == name)
    }
}

impl Rbac {
    /// Compiles options that were checked: every role exists, and none inherits from itself.
    pub fn build(config: &Config, with: &Build<'_>) -> Result<Self, String> {
        let names = |list: &Option<List>| -> Box<[Box<str>]> {
            list.iter().flat_map(|list| list.iter()).map(|name| name.as_str().into()).collect()
        };
        let (any_of, all_of, none_of) = (names(&config.any_of), names(&config.all_of), names(&config.none_of));
        let roles = match &config.roles {
            None => None,
            Some(roles) => Some(compile(&roles.value)?),
        };
        let decisions = with.metrics.auth_decisions();
        let handle = |decision: &str, reason: &str| decisions.with_label_values(&[with.name, decision, reason]);
        Ok(Self {
            refusal: refusal(&config.source, &any_of, &all_of),
            source: config.source.clone(),
            any_of,
            all_of,
            none_of,
            roles,
            allowed: handle("allow", "granted"),
            denied: Reason::ALL.iter().map(|reason| handle("deny", reason.word())).collect(),
        })
    }

    fn held<'f>(&self, facts: &'f Facts) -> Result<Held<'f>, Reason> {
        match &self.source {
            Source::Claim(path) => {
                let identity = facts.identity.as_ref().ok_or(Reason::Anonymous)?;
                let claim = path.find(&identity.claims).filter(|claim| **claim != Claim::Null).ok_or(Reason::MissingClaim)?;
                Held::of(claim).ok_or(Reason::ClaimType)
            }
            Source::Certificate(fact) => {
                let shown = facts.tls.as_ref().and_then(|tls| tls.client.as_ref()).ok_or(Reason::NoCertificate)?;
                let names = match fact.value {
                    Selector::ClientCertCn => &shown.cn[..],
                    Selector::ClientCertSan => &shown.san[..],
                    _ => std::slice::from_ref(&shown.subject),
                };
                if names.is_empty() { Err(Reason::NoName) } else { Ok(Held::Names(names)) }
            }
        }
    }

    fn judge(&self, request: &Request<'_>) -> Result<(), Reason> {
        let held = self.held(request.facts)?;
        if self.none_of.iter().any(|name| held.has(name)) {
            return Err(Reason::NoneOf);
        }
        if !self.all_of.iter().all(|name| held.has(name)) {
            return Err(Reason::AllOf);
        }
        if !self.any_of.is_empty() && !self.any_of.iter().any(|name| held.has(name)) {
            return Err(Reason::AnyOf);
        }
        let Some(roles) = &self.roles else { return Ok(()) };
        let (method, path) = (&request.head.method, request.head.uri.path());
        let covered = |role: &str| roles.get(role).is_some_and(|permissions| permissions.iter().any(|one| one.covers(method, path)));
        if held.any(covered) { Ok(()) } else { Err(Reason::Permission) }
    }

    fn explain(&self, request: &mut Request<'_>, judged: Result<(), Reason>) {
        let list = |names: &[Box<str>]| names.join(", ");
        let source = &self.source;
        let text = match judged {
            Ok(()) => format!("{source} grants it"),
            Err(Reason::Anonymous) => "the caller is anonymous".to_owned(),
            Err(Reason::MissingClaim) => format!("the token has no claim {source}"),
            Err(Reason::ClaimType) => format!("{source} is neither text nor a list of texts"),
            Err(Reason::NoCertificate) => "the client has shown no certificate".to_owned(),
            Err(Reason::NoName) => format!("the client's certificate has no {source}"),
            Err(Reason::NoneOf) => format!("{source} holds one of none_of: {}", list(&self.none_of)),
            Err(Reason::AllOf) => format!("{source} does not hold all of all_of: {}", list(&self.all_of)),
            Err(Reason::AnyOf) => format!("{source} holds none of any_of: {}", list(&self.any_of)),
            Err(Reason::Permission) => format!("no role in {source} permits {} {}", request.head.method, request.head.uri.path()),
        };
        request.because(|| text);
    }
}

impl Filter for Rbac {
    fn request<'a>(&'a self, request: &'a mut Request<'_>) -> Verdict<'a> {
        let judged = self.judge(request);
        if request.is_explained() {
            self.explain(request, judged);
        } else {
            match judged {
                Ok(()) => self.allowed.inc(),
                Err(reason) => self.denied[reason as usize].inc(),
            }
        }
        match judged {
            Ok(()) => Verdict::Continue,
            Err(reason) => {
                request.facts.reason = reason.word();
                Verdict::Reply(if reason == Reason::Anonymous { Reply::unauthenticated() } else { self.refusal.clone() })
            }
        }
    }
}

/// RFC 6750, section 3.1. A scope is named only where the claim holds scopes, and then a set of them that would do. A certificate is asked
/// for by no challenge.
fn refusal(source: &Source, any_of: &[Box<str>], all_of: &[Box<str>]) -> Reply {
    let refusal = |code| Reply::problem(StatusCode::FORBIDDEN, code, "You do not have permission to do this.");
    let Source::Claim(claim) = source else { return refusal("not_permitted") };
    let mut challenge = String::from(r#"Bearer realm="frontgate", error="insufficient_scope""#);
    let needed: Vec<&str> = all_of.iter().chain(any_of.first()).map(|name| &**name).collect();
    // The characters of `scope-token` (RFC 6749, section 3.3): no quote and no backslash among them.
    let spelled = |name: &&str| name.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
    if matches!(claim.to_string().as_str(), "scope" | "scp" | "scopes") && !needed.is_empty() && needed.iter().all(spelled) {
        challenge.push_str(&format!(r#", scope="{}""#, needed.join(" ")));
    }
    let challenge = HeaderValue::from_maybe_shared(bytes::Bytes::from(challenge)).expect("checked characters");
    refusal("insufficient_scope").with(WWW_AUTHENTICATE, challenge)
}

fn compile(written: &Roles) -> Result<HashMap<Box<str>, Box<[Permission]>>, String> {
    let mut roles = HashMap::new();
    for name in written.keys() {
        let (mut permissions, mut seen, mut open) = (Vec::new(), HashSet::new(), vec![name.as_str()]);
        while let Some(role) = open.pop() {
            if !seen.insert(role) {
                continue;
            }
            let entries = written.get(role).ok_or_else(|| format!("there is no role `{role}`"))?;
            for entry in entries.iter() {
                if is_permission(entry) {
                    permissions.push(Permission::parse(entry)?);
                } else {
                    open.push(entry);
                }
            }
        }
        roles.insert(name.as_str().into(), permissions.into());
    }
    Ok(roles)
}

#[cfg(test)]
mod tests;
