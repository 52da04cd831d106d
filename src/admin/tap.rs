//! `GET /-/tap`: lines of the access log as they come, an answer without an end but the one that was asked for.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use frontgate_filters::words::units;
use http::StatusCode;
use pingora_http::{RequestHeader, ResponseHeader};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Admin;
use super::answer::{Answer, NDJSON, answer, problem, refusal};
use super::parameter::parameter;
use crate::config::check::strangers;
use crate::exchange::client::{Client, Lost};
use crate::telemetry::{LineFilter, Tapped};

/// How often an empty line is sent while there is nothing to tell: so that it is found out when nobody is there any more.
const BEAT: Duration = Duration::from_secs(10);
/// The longest that one may ask for: until somebody ends it.
const ENDLESS: Duration = Duration::from_secs(366 * 24 * 3600);

/// Lines for one who asked for them.
pub(super) struct Lines {
    tapped: Tapped,
    until: Instant,
}

/// Begins to listen: `filter` and `for` in the query.
#[allow(clippy::result_large_err, reason = "an answer is moved once, whichever it is")]
pub(super) fn open(admin: &Admin, head: &RequestHeader) -> Result<Lines, Answer> {
    let bad = |why: &str| refusal(StatusCode::BAD_REQUEST, "bad_request", why);
    let filter = parameter(head, "filter").unwrap_or_default();
    let filter = if filter.trim().is_empty() { "share 100%" } else { &filter };
    let filter: LineFilter = filter.parse().map_err(|why: String| bad(&why))?;
    let snapshot = admin.gateway.snapshot();
    if let Some(stranger) = strangers(&snapshot.loaded.config, &filter).first() {
        return Err(bad(&stranger.to_string()));
    }
    let time = match parameter(head, "for").map(|text| text.parse::<units::Duration>()) {
        None => ENDLESS,
        Some(Ok(time)) => time.0.min(ENDLESS),
        Some(Err(_)) => return Err(bad("`for` must be a time such as 60s.")),
    };
    log::info!("an operator watches the log lines with `{}`", filter.to_string().replace(char::is_control, "?"));
    match admin.gateway.taps.open(filter) {
        Some(tapped) => Ok(Lines { tapped, until: Instant::now() + time }),
        None => Err(problem(StatusCode::SERVICE_UNAVAILABLE, "too_many_taps", "As many as may watch at once do so already.", None)),
    }
}

impl Lines {
    /// Sends them until the time is over or who asked has left; an error where he has.
    pub(super) async fn send(mut self, client: &mut impl Client) -> Result<(), Lost> {
        client.head(ResponseHeader::from(answer(StatusCode::OK, NDJSON, "").into_parts().0), false);
        client.flush().await?;
        loop {
            let beat = Instant::now() + BEAT;
            let lines = tokio::select! {
                biased;
                () = poll_fn(|cx| client.poll_left(cx)) => return Err(Lost::Left),
                () = sleep_until(self.until) => break,
                lines = self.tapped.next() => lines,
                () = sleep_until(beat) => Bytes::from_static(b"\n"),
            };
            client.body(lines, false);
            // Who does not read has no longer than who does.
            match timeout_at(self.until, client.flush()).await {
                Ok(sent) => sent?,
                Err(_) => return Err(Lost::Left),
            }
        }
        // Nobody is counted any more once the end is told.
        client.body(self.tapped.end(), true);
        // Who does not read what is left gets a beat more.
        timeout_at(Instant::now() + BEAT, client.flush()).await.unwrap_or(Err(Lost::Left))
    }
}
