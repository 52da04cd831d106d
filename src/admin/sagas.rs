//! Sagas for operators: which there are, what became of one, and what is done about it.

use std::sync::Arc;

use frontgate_filters::words::units::Duration;
use http::StatusCode;
use pingora_http::RequestHeader;

use super::Admin;
use super::answer::{Answer, Pending, is_none_of, json, problem, refusal};
use super::parameter::parameter;
use crate::compose::saga::operated::{self, LONGEST_NOTE, Operated, Order, Refused, Shortened, Wanted};
use crate::status::SagaState;
use crate::who::Who;

/// Where sagas are; what follows is an id, and what is done.
const SAGAS: &str = "/-/sagas/";

/// Which there are: those in `state`, on `route`, begun `older` ago or longer; by default all that have not ended.
pub(super) fn list<'a>(admin: &'a Admin, head: &'a RequestHeader, _: Who) -> Pending<'a> {
    Box::pin(async {
        let wanted = match wanted(admin, head) {
            Ok(wanted) => wanted,
            Err(answer) => return answer,
        };
        let listed = match runner(admin) {
            Ok(sagas) => operated::list(&**sagas, &wanted).await,
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
        shown.map_or_else(|why| refused(&why), |saga| json(StatusCode::OK, &saga))
    })
}

/// Has it retried, abandoned with a `note`, or undone, as the path's last word says.
pub(super) fn act<'a>(admin: &'a Admin, head: &'a RequestHeader, who: Who) -> Pending<'a> {
    Box::pin(async move {
        let order = match head.uri.path().rsplit('/').next() {
            Some("retry") => Order::Retry,
            Some("undo") => Order::Undo,
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
            Ok(obeyed) => {
                let note = order.note().map(|note| format!(": {note}")).unwrap_or_default();
                let what = match &order {
                    Order::Retry => "has it tried again",
                    Order::Abandon { .. } => "gave it up",
                    Order::Undo => "has it taken back",
                };
                log::warn!("saga {}: the operator {who} {what}, it is {} now{note}", obeyed.id, obeyed.state.label());
                json(StatusCode::OK, &obeyed)
            }
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
    // Sagas of a route outlive it.
    if let Some(route) = &route {
        let snapshot = admin.gateway.snapshot();
        let known = snapshot.loaded.config.routes.iter().map(|route| &*route.name.value);
        let open = admin.gateway.metrics.open_sagas();
        if !known.clone().any(|known| known == route) && !open.iter().any(|open| open.route == *route) {
            return Err(super::answer::no_such("route", route, known));
        }
    }
    Ok(Wanted { state, route, older })
}

/// Why it is given up.
#[allow(clippy::result_large_err, reason = "an answer is moved once, whichever it is")]
fn note(head: &RequestHeader) -> Result<String, Answer> {
    let bad = |why| problem(StatusCode::BAD_REQUEST, "bad_request", why, None);
    let note: String = parameter(head, "note").unwrap_or_default().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match note.trim() {
        "" => Err(bad("`note` must say why the saga is given up: it stays with it.")),
        note if note.len() > LONGEST_NOTE => Err(bad("`note` must have 1000 bytes at most.")),
        note => Ok(note.to_owned()),
    }
}

fn refused(why: &Refused) -> Answer {
    let (status, code) = match why {
        Refused::NoId(_) => (StatusCode::BAD_REQUEST, "bad_request"),
        Refused::Unknown(_) => (StatusCode::NOT_FOUND, "not_found"),
        Refused::Several(..) | Refused::OtherState { .. } | Refused::Stands { .. } => (StatusCode::CONFLICT, "conflict"),
        Refused::Unavailable | Refused::Leaving => (StatusCode::SERVICE_UNAVAILABLE, "state_unavailable"),
        Refused::Unreadable(..) => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
    };
    refusal(status, code, &why.to_string())
}

#[cfg(test)]
mod tests;
