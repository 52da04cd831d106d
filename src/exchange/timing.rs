//! `X-Frontgate-Explain`: what was decided about a request and how long it took, for trusted proxies that ask for it. The answer's header has the
//! form of `Server-Timing` (W3C Server Timing, section 3.1): tokens, and quoted strings as in RFC 9110, section 5.6.4.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use frontgate_filters::filter::{Facts, Step};
use http::{HeaderName, HeaderValue};
use pingora_http::ResponseHeader;

use crate::upstream::attempts::{Attempts, Made};

/// The header, in both directions.
pub(crate) const X_FRONTGATE_EXPLAIN: HeaderName = HeaderName::from_static("x-frontgate-explain");
/// The longest value.
const LONGEST: usize = 2048;
/// What stands at the end of one that would be longer.
const CUT: &str = ", cut";

/// A call that an answer was put together from.
pub(crate) struct Timed {
    /// Its name.
    pub name: Arc<str>,
    /// The upstream that it was made to, or the one that answered in its place.
    pub upstream: Option<Arc<str>>,
    /// The status of its answer.
    pub status: Option<u16>,
    /// How it ended, in a word.
    pub result: &'static str,
    /// How many attempts it took.
    pub attempts: usize,
    /// How long it took.
    pub took: Duration,
}

/// Tells on an answer what was decided, where that was asked for. `reason` is what the log calls an answer of the gateway's own, and `calls` are
/// those that it was put together from, which are asked for only where they are told.
pub(crate) fn mark(
    head: &mut ResponseHeader,
    route: &str,
    facts: &Facts,
    reason: &str,
    attempts: &Attempts,
    calls: impl FnOnce() -> Vec<Timed>,
) {
    let Some(steps) = &facts.steps else { return };
    let value = value(route, steps, [facts.reason, reason], attempts.each(Instant::now()), &calls());
    if let Ok(value) = HeaderValue::from_str(&value) {
        frontgate_filters::head::with_map(head, |headers| {
            headers.insert(X_FRONTGATE_EXPLAIN, value);
        });
    }
}

fn value<'m>(route: &str, steps: &[Step], reasons: [&str; 2], attempts: impl Iterator<Item = Made<'m>>, calls: &[Timed]) -> String {
    let mut out = format!("route;desc={}", Quoted(route));
    let mut member = String::new();
    let mut add = |write: &dyn Fn(&mut String) -> fmt::Result| {
        member.clear();
        // A string takes whatever is written to it.
        let _ = write(&mut member);
        if out.ends_with(CUT) {
            // There is no more room.
        } else if out.len() + 2 + member.len() + CUT.len() > LONGEST {
            out.push_str(CUT);
        } else {
            out.push_str(", ");
            out.push_str(&member);
        }
    };
    for Step { name, kind, observed, replies, took } in steps {
        add(&|out| {
            write!(out, "filter;desc={};kind={kind};did=", Quoted(name))?;
            match (replies, observed) {
                (None, _) => out.write_str("passed")?,
                (Some(status), false) => write!(out, "answered;status={}", status.as_u16())?,
                (Some(status), true) => write!(out, "would_answer;status={}", status.as_u16())?,
            }
            write!(out, ";dur={}", Millis(*took))
        });
    }
    if let Some(reason) = reasons.into_iter().find(|reason| !reason.is_empty()) {
        add(&|out| write!(out, "reason;desc={}", Quoted(reason)));
    }
    for Made { upstream, endpoint, status, cause, took } in attempts {
        add(&|out| {
            write!(out, "attempt;desc={};upstream={}", Quoted(endpoint), Quoted(upstream))?;
            if let Some(status) = status {
                write!(out, ";status={status}")?;
            }
            if let Some(cause) = cause {
                write!(out, ";cause={}", Quoted(&cause.to_string()))?;
            }
            write!(out, ";dur={}", Millis(took))
        });
    }
    for Timed { name, upstream, status, result, attempts, took } in calls {
        add(&|out| {
            write!(out, "call;desc={}", Quoted(name))?;
            if let Some(upstream) = upstream {
                write!(out, ";upstream={}", Quoted(upstream))?;
            }
            if let Some(status) = status {
                write!(out, ";status={status}")?;
            }
            if *attempts > 1 {
                write!(out, ";attempts={attempts}")?;
            }
            write!(out, ";result={result};dur={}", Millis(*took))
        });
    }
    out
}

/// A quoted string; what cannot stand in one is a question mark.
struct Quoted<'q>(&'q str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                ' '..='~' => f.write_char(c)?,
                _ => f.write_char('?')?,
            }
        }
        f.write_char('"')
    }
}

/// A time in milliseconds, with three digits behind the point.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        write!(f, "{}.{:03}", micros / 1000, micros % 1000)
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn step(name: &str, replies: Option<StatusCode>, observed: bool) -> Step {
        Step { name: name.into(), kind: "rate_limit", observed, replies, took: Duration::from_micros(1234) }
    }

    #[test]
    fn it_has_the_form_of_server_timing() {
        let limited = Some(StatusCode::TOO_MANY_REQUESTS);
        let steps = [step("a \"b\\", None, false), step("c", limited, true), step("d\u{e9}", limited, false)];

        let value = value("products", &steps, ["", "rate_limited"], std::iter::empty(), &[]);

        assert_eq!(
            value,
            "route;desc=\"products\", filter;desc=\"a \\\"b\\\\\";kind=rate_limit;did=passed;dur=1.234, \
             filter;desc=\"c\";kind=rate_limit;did=would_answer;status=429;dur=1.234, \
             filter;desc=\"d?\";kind=rate_limit;did=answered;status=429;dur=1.234, reason;desc=\"rate_limited\""
        );
    }

    #[test]
    fn calls_are_told_with_what_came_of_them() {
        let user = Timed {
            name: "user".into(),
            upstream: Some("users".into()),
            status: Some(200),
            result: "ok",
            attempts: 2,
            took: Duration::from_micros(1500),
        };
        let late = Timed { name: "a\"d".into(), upstream: None, status: None, result: "circuit_open", attempts: 0, took: Duration::ZERO };

        let value = value("home", &[], ["", ""], std::iter::empty(), &[user, late]);

        assert_eq!(
            value,
            "route;desc=\"home\", call;desc=\"user\";upstream=\"users\";status=200;attempts=2;result=ok;dur=1.500, \
             call;desc=\"a\\\"d\";result=circuit_open;dur=0.000"
        );
    }

    #[test]
    fn it_is_cut_where_it_would_grow_too_long() {
        let steps: Vec<Step> = (0..200).map(|_| step("limit", None, false)).collect();

        let value = value("products", &steps, ["", ""], std::iter::empty(), &[]);

        assert!(value.len() <= LONGEST && value.ends_with("dur=1.234, cut"), "{}", value.len());
    }
}
