//! The operators' addresses: health, metrics, reload. `server.status` has the same without what changes anything.

mod answer;
mod listen;
mod resources;

use std::sync::Arc;

use http::header::{ALLOW, AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use pingora_http::RequestHeader;

use self::answer::{Answer, problem};
use self::resources::{Act, RESOURCES, Takes};
use crate::gateway::Gateway;
use crate::reload::Reloader;

/// Who may ask for what.
pub(crate) enum Scope {
    /// Everything, with this token where there is one.
    All(Option<String>),
    /// Health and metrics.
    ReadOnly,
}

/// The application behind `server.admin` and `server.status`.
pub(crate) struct Admin {
    gateway: Arc<Gateway>,
    reloader: Arc<Reloader>,
    scope: Scope,
}

impl Admin {
    /// The application with this scope.
    pub(crate) fn new(gateway: Arc<Gateway>, reloader: Arc<Reloader>, scope: Scope) -> Self {
        Self { gateway, reloader, scope }
    }

    /// The answer to a request; to HEAD with the body that GET would have.
    async fn answer(&self, head: &RequestHeader) -> Answer {
        if !self.allows(head) {
            let challenge = HeaderValue::from_static("Bearer realm=\"frontgate\"");
            return problem(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "The admin address needs its token.",
                Some((WWW_AUTHENTICATE, challenge)),
            );
        }
        let path = head.uri.path();
        let Some(resource) = RESOURCES.iter().find(|resource| resource.path == path && self.shows(resource.takes)) else {
            return problem(StatusCode::NOT_FOUND, "not_found", "There is no such resource.", None);
        };
        match (resource.takes, &head.method) {
            (Takes::Get, &Method::GET | &Method::HEAD) | (Takes::Post, &Method::POST) => match resource.act {
                Act::Now(act) => act(self, head),
                Act::Later(act) => act(self).await,
            },
            (Takes::Get, _) => wrong_method("This resource takes GET.", "GET, HEAD"),
            (Takes::Post, _) => wrong_method("This resource takes POST.", "POST"),
        }
    }

    fn allows(&self, head: &RequestHeader) -> bool {
        let Scope::All(Some(token)) = &self.scope else { return true };
        let header = head.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        header.and_then(|value| value.strip_prefix(b"Bearer ")).is_some_and(|given| same(given, token.as_bytes()))
    }

    /// Whether it has resources of this sort at all.
    fn shows(&self, takes: Takes) -> bool {
        self.has_all() || takes == Takes::Get
    }

    fn has_all(&self) -> bool {
        matches!(self.scope, Scope::All(_))
    }
}

fn wrong_method(detail: &'static str, allow: &'static str) -> Answer {
    problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail, Some((ALLOW, HeaderValue::from_static(allow))))
}

/// Takes as long for a wrong token as for the right one of that length.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests;
