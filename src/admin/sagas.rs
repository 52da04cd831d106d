//! Sagas for operators: which there are, what became of one, and what is done about it.

use std::collections::BTreeSet;
use std::sync::Arc;

use frontgate_filters::words::units::Duration;
use http::StatusCode;
use pingora_http::RequestHeader;

use super::Admin;
use super::answer::{Answer, Pending, is_none_of, json, problem, refusal};
use super::parameter::{parameter, parameters};
use crate::compose::saga::operated::{self, LONGEST_NOTE, Operated, Order, Refused, Shortened, Wanted};
use crate::status::SagaState;
use crate::terminal::without_obeyed;
use crate::who::Who;

/// Where sagas are; what follows is an id, and what is done.
const SAGAS: &str = "/-/sagas/";

/// Which there are: those in `state`, on `route`, begun `older` ago or longer; by default all that have not ended. With `key`, several times where
/// it has several parts, the ones that their clients know by it, ended ones too.
pub(super) fn list<'a>(admin: &'a Admin, head: &'a RequestHeader, _: Who) -> Pending<'a> {
    Box::pin(async {
        let wanted = match wanted(admin, head) {
            Ok(wanted) => wanted,
            Err(answer) => return answer,
        };
        let key = parameters(head, "key");
        let listed = match runner(admin) {
            Ok(sagas) if key.is_empty() => operated::list(&**sagas, &wanted).await,
            Ok(sagas) => operated::of_key(&**sagas, &routes(admin, &wanted), &key, &wanted).await,
            Err(answer) => return answer,
        };
        listed.map_or_else(|why| refused(&why), |list| json(StatusCode::OK, &list))
    })
}

/// Everything that is known of one.
pub(super) fn show<'a>(admin: &'a Admin, head: &'a RequestHeader, _: Who) -> Pending<'a> {
    Box::pin(async {
        let (sagas, id) = match meant(admin, head) {
            Ok(meant) => meant,
            Err(answer) => return answer,
        };
        let shown = operated::show(&**sagas, &id, &admin.gateway.snapshot().pseudonyms).await;
        shown.map_or_else(
            |why| refused(&why),
            |mut saga| {
                let snapshot = admin.gateway.snapshot();
                for asked in saga.steps.iter_mut().flat_map(|step| [&mut step.asks, &mut step.undo_asks]).flatten() {
                    *asked = snapshot.loaded.without_brought(asked);
                }
                json(StatusCode::OK, &saga)
            },
        )
    })
}

/// Has it retried, abandoned with a `note`, or undone, as the path's last word says.
pub(super) fn act<'a>(admin: &'a Admin, head: &'a RequestHeader, who: Who) -> Pending<'a> {
    Box::pin(async move {
        let order = match head.uri.path().rsplit('/').next() {
            Some("retry") => Order::Retry,
            Some("undo") => {
                let named = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned();
                Order::Undo { leave: parameters(head, "leave").into_iter().map(named).collect() }
            }
            _ => match note(head) {
                Ok(note) => Order::Abandon { note },
                Err(answer) => return answer,
            },
        };
        let (sagas, id) = match meant(admin, head) {
            Ok(meant) => meant,
            Err(answer) => return answer,
        };
        match operated::obey(&**sagas, &id, &order, &who.to_string()).await {
            Ok(obeyed) => json(StatusCode::OK, &obeyed),
            Err(why) => refused(&why),
        }
    })
}

/// Who runs sagas; a refusal where nobody does.
#[allow(clippy::result_large_err, reason = "an answer is moved once, whichever it is")]
fn runner(admin: &Admin) -> Result<&Arc<dyn Operated>, Answer> {
    admin.gateway.sagas().ok_or_else(|| {
        let why = "There are no sagas: the configuration has none, and no directory to keep them in.";
        problem(StatusCode::NOT_FOUND, "not_found", why, None)
    })
}

/// Who runs sagas, and the one that the path means.
#[allow(clippy::result_large_err, reason = "an answer is moved once, whichever it is")]
fn meant<'a>(admin: &'a Admin, head: &RequestHeader) -> Result<(&'a Arc<dyn Operated>, Shortened), Answer> {
    let sagas = runner(admin)?;
    let id = head.uri.path().strip_prefix(SAGAS).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy();
    Ok((sagas, id.parse().map_err(|why| refused(&why))?))
}

#[allow(clippy::result_large_err, reason = "an answer is moved once, whichever it is")]
fn wanted(admin: &Admin, head: &RequestHeader) -> Result<Wanted, Answer> {
    let bad = |why: &str| refusal(StatusCode::BAD_REQUEST, "bad_request", why);
    let state = match parameter(head, "state") {
        None => None,
        Some(text) => Some(
            SagaState::parse(&text).ok_or_else(|| bad(&is_none_of("state of a saga", &text, SagaState::ALL.iter().map(|s| s.label()))))?,
        ),
    };
    let older = match parameter(head, "older").map(|text| text.parse::<Duration>()) {
        None => None,
        Some(Ok(time)) => Some(time.0),
        Some(Err(_)) => return Err(bad("`older` must be a time such as 1h.")),
    };
    let route = parameter(head, "route");
    // Sagas of a route outlive it, and what is found by its key is there or not.
    if let Some(route) = route.as_ref().filter(|_| parameter(head, "key").is_none()) {
        let snapshot = admin.gateway.snapshot();
        let known = snapshot.loaded.config.routes.iter().map(|route| &*route.name.value);
        let open = admin.gateway.metrics.open_sagas();
        if !known.clone().any(|known| known == route) && !open.iter().any(|open| open.route == *route) {
            return Err(super::answer::no_such("route", route, known));
        }
    }
    Ok(Wanted { state, route, older })
}

/// The routes whose sagas may have a key: the one that is named, or all that have sagas, or have some yet.
fn routes(admin: &Admin, wanted: &Wanted) -> Vec<String> {
    if let Some(route) = &wanted.route {
        return vec![route.clone()];
    }
    let snapshot = admin.gateway.snapshot();
    let known = snapshot.loaded.config.routes.iter().filter(|route| route.target.saga().is_some()).map(|route| route.name.value.clone());
    let open = admin.gateway.metrics.open_sagas();
    known.chain(open.into_iter().map(|open| open.route)).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Why it is given up.
#[allow(clippy::result_large_err, reason = "an answer is moved once, whichever it is")]
fn note(head: &RequestHeader) -> Result<String, Answer> {
    let bad = |why| problem(StatusCode::BAD_REQUEST, "bad_request", why, None);
    let note = without_obeyed(&parameter(head, "note").unwrap_or_default(), ' ');
    match note.trim() {
        "" => Err(bad("`note` must say why the saga is given up: it stays with it.")),
        note if note.len() > LONGEST_NOTE => Err(bad("`note` must have 1000 bytes at most.")),
        note => Ok(note.to_owned()),
    }
}

fn refused(why: &Refused) -> Answer {
    let (status, code) = match why {
        Refused::Unknown(_) => (StatusCode::NOT_FOUND, "not_found"),
        Refused::NoId(_) | Refused::NoStep { .. } => (StatusCode::BAD_REQUEST, "bad_request"),
        Refused::Several(..)
        | Refused::OtherState { .. }
        | Refused::Busy { .. }
        | Refused::Stands { .. }
        | Refused::StuckAt { .. }
        | Refused::NothingGoes { .. } => (StatusCode::CONFLICT, "conflict"),
        Refused::Unavailable | Refused::Unconfirmed { .. } | Refused::Leaving => (StatusCode::SERVICE_UNAVAILABLE, "state_unavailable"),
        Refused::Unreadable(..) => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
    };
    refusal(status, code, &why.to_string())
}

#[cfg(test)]
mod tests;
