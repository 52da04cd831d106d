//! What is still to be told of a request when it does not come to its end: the gateway itself does, and drops it.

use pingora_proxy::Session;

use super::Ctx;
use crate::panics::caught;

/// The word that the log has for a request which the gateway's own end cut off.
const CUT_OFF: &str = "cut_off";

/// A request that has not come to its end. Dropped, it has its line in the log all the same.
pub(super) struct Open<'r> {
    /// The client's side.
    pub session: &'r mut Session,
    /// What is known of it.
    pub ctx: &'r mut Ctx,
    /// Whether whoever ends requests will see it.
    pub ended: bool,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        // What panics while another panic unwinds would end the process.
        if !self.ended && !std::thread::panicking() {
            self.ctx.reason = CUT_OFF;
            let _ = caught(|| self.ctx.log(self.session.req_header()));
        }
    }
}

/// A client whose answer is being sent. Dropped, what it was sent is told.
pub(super) struct Answering<'r, C: Sent>(Option<(C, &'r mut Ctx)>);

/// A client that knows what it was sent.
pub(super) trait Sent {
    /// The status, and the bytes of both bodies.
    fn sent(&self) -> (Option<http::StatusCode>, u64, u64);
}

impl<'r, C: Sent> Answering<'r, C> {
    /// It begins.
    pub(super) fn new(client: C, ctx: &'r mut Ctx) -> Self {
        Self(Some((client, ctx)))
    }

    /// The client, and what is known of its request.
    pub(super) fn parts(&mut self) -> (&mut C, &mut Ctx) {
        let (client, ctx) = self.0.as_mut().expect("it is there until the end");
        (client, &mut **ctx)
    }

    /// It has ended: what the client was sent is told.
    pub(super) fn end(mut self) -> (C, &'r mut Ctx) {
        let (client, ctx) = self.0.take().expect("it is there until the end");
        ctx.told(client.sent());
        (client, ctx)
    }
}

impl<C: Sent> Drop for Answering<'_, C> {
    fn drop(&mut self) {
        if let Some((client, ctx)) = &mut self.0 {
            ctx.told(client.sent());
        }
    }
}
