//! Faults that a drill has drawn, carried out where an upstream would have failed: a line that stands for one, or around one.
//!
//! Whoever drives it sees a line as any other, so that deadlines, retries, circuit breakers and fallbacks take what it does for real.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use frontgate_filters::fault::{Act, Answer, Dealt, Held};
use frontgate_filters::grpc::GRPC_STATUS;
use frontgate_filters::reply::problem;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use pingora_http::ResponseHeader;
use tokio::time::{Sleep, sleep};

use super::h1::{Fault, Piece, is_final};
use super::line::Line;

/// What a service answers that a drill stands for.
const DETAIL: &str = "A drill of the gateway's operators answers in place of the service.";
const CODE: &str = "fault_injected";

/// Somebody who is held for a time.
pub(crate) struct Hold {
    time: Duration,
    /// Begins when it is asked for the first time.
    sleep: Option<Pin<Box<Sleep>>>,
    _held: Held,
}

impl Hold {
    /// For so long.
    pub(crate) fn new(time: Duration, held: Held) -> Self {
        Self { time, sleep: None, _held: held }
    }

    /// How long an answer is held, where it is.
    pub(crate) fn of(dealt: Dealt) -> Option<Self> {
        Some(Self::new(dealt.plan.delay?, dealt.held?))
    }

    /// Whether its time is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let time = self.time;
        self.sleep.get_or_insert_with(|| Box::pin(sleep(time))).as_mut().poll(cx)
    }
}

/// An answer that nobody gave.
struct Made {
    answer: Answer,
    /// What is left of its body once its head is there.
    body: Option<Bytes>,
}

/// A line that meets a fault.
pub(crate) struct Faulty {
    /// The line to the upstream, where that is asked.
    line: Option<Line>,
    /// The answer, where it is not.
    made: Option<Made>,
    hold: Option<Hold>,
    /// The final head, while it is held.
    head: Option<ResponseHeader>,
    method: Method,
}

/// The line that stands for an upstream which is not asked, where that was dealt.
pub(crate) fn instead(dealt: &mut Option<Dealt>) -> Option<Line> {
    let Some(Act::Abort(answer)) = dealt.as_ref()?.plan.act else { return None };
    let hold = dealt.take().and_then(Hold::of);
    Some(Line::Faulty(Box::new(Faulty { line: None, made: Some(Made { answer, body: None }), hold, head: None, method: Method::GET })))
}

/// This line, with what was dealt for it.
pub(crate) fn around(line: Line, dealt: Option<Dealt>) -> Line {
    match dealt.and_then(Hold::of) {
        Some(hold) => Line::Faulty(Box::new(Faulty { line: Some(line), made: None, hold: Some(hold), head: None, method: Method::GET })),
        None => line,
    }
}

impl Faulty {
    /// The line to the upstream.
    pub(super) fn line(&self) -> Option<&Line> {
        self.line.as_ref()
    }

    /// The same, to be changed.
    pub(super) fn line_mut(&mut self) -> Option<&mut Line> {
        self.line.as_mut()
    }

    /// The same, for somebody else.
    pub(super) fn into_line(self) -> Option<Line> {
        self.line
    }

    /// A request of this method begins.
    pub(super) fn begins(&mut self, method: &Method) {
        self.method = method.clone();
    }

    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHeader, Fault>> {
        if self.head.is_none() {
            let head = match (&mut self.made, &mut self.line) {
                (Some(made), _) => made.begin(&self.method),
                (None, Some(line)) => ready!(line.poll_head(cx))?,
                (None, None) => return Poll::Ready(Err(Fault::Closed(true))),
            };
            if !is_final(head.status) {
                return Poll::Ready(Ok(head));
            }
            self.head = Some(head);
        }
        if let Some(hold) = &mut self.hold {
            ready!(hold.poll(cx));
            self.hold = None;
        }
        Poll::Ready(self.head.take().ok_or(Fault::Closed(true)))
    }

    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Fault>> {
        match (&mut self.made, &mut self.line) {
            (Some(made), _) => Poll::Ready(Ok(made.body.take().map_or(Piece::End, Piece::Data))),
            (None, Some(line)) => line.poll_piece(cx),
            (None, None) => Poll::Ready(Err(Fault::Closed(false))),
        }
    }

    /// Whether the body's end has been handed out, or is all that is left of it.
    pub(super) fn is_at_end(&self) -> bool {
        match (&self.made, &self.line) {
            (Some(made), _) => made.body.is_none(),
            (None, line) => line.as_ref().is_some_and(Line::is_at_end),
        }
    }
}

impl Made {
    /// The head; the body is there from now on.
    fn begin(&mut self, method: &Method) -> ResponseHeader {
        let mut fields = HeaderMap::with_capacity(3);
        let status = match self.answer {
            Answer::Grpc(status) => {
                fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                fields.insert(GRPC_STATUS, status.value());
                StatusCode::OK
            }
            Answer::Http(status, after) => {
                let body = problem::body(status, CODE, DETAIL, &[], None);
                fields.insert(CONTENT_TYPE, HeaderValue::from_static(problem::MEDIA_TYPE));
                fields.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
                if let Some(seconds) = after {
                    fields.insert(RETRY_AFTER, HeaderValue::from(seconds));
                }
                self.body = Some(body).filter(|_| method != Method::HEAD);
                status
            }
        };
        let mut parts = http::Response::new(()).into_parts().0;
        (parts.status, parts.headers) = (status, fields);
        ResponseHeader::from(parts)
    }
}
