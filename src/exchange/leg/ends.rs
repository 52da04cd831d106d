//! How an attempt ends before its answer does, and who is at fault.

use frontgate_filters::clock;
use frontgate_filters::filter::Failure;
use frontgate_filters::reply::Reply;

use super::{Client, Ended, Leg, Stage};
use crate::exchange::client::Lost;
use crate::exchange::{End, Order};
use crate::refusals;
use crate::telemetry::{Attempt, Flag};
use crate::upstream::cause::Cause;
use crate::upstream::h1::Fault;

impl Leg {
    /// The upstream's answer does not come, or not to its end.
    pub(super) fn broke(&self, order: &mut Order<'_>, fault: &Fault) -> Ended {
        match fault {
            Fault::Unwelcome(cause) => {
                order.attempts.because(*cause);
                self.failed(order, Attempt::ConnectFailure, Flag::UpstreamConnectionFailure)
            }
            // Servers of gRPC give up a call whose time is over by resetting it.
            _ if order.is_over() => self.failed(order, Attempt::Timeout, Flag::UpstreamTimeout),
            Fault::Malformed(why) => {
                order.attempts.because(Cause::of_malformed(why));
                self.failed(order, Attempt::Error, Flag::UpstreamProtocolError)
            }
            Fault::Closed(_) | Fault::Broken(_) | Fault::Refused => self.failed(order, Attempt::Reset, Flag::UpstreamConnectionTermination),
        }
    }

    /// The upstream has failed: before its head another attempt may follow, after it the answer breaks off.
    pub(super) fn failed(&self, order: &mut Order<'_>, result: Attempt, flag: Flag) -> Ended {
        *order.flag = Some(flag);
        order.attempts.finished(result, clock::now());
        match (self.stage, result) {
            (Stage::Head, Attempt::Timeout) => Ended::Failed(order.late(), Some(refusals::too_slow())),
            (Stage::Head, Attempt::Error) => Ended::Failed(Failure::Connect, Some(refusals::no_answer())),
            (Stage::Head, _) => Ended::Failed(Failure::Connect, Some(refusals::bad_gateway())),
            _ => Ended::Final(End::Broken),
        }
    }

    /// A filter cannot pass the answer on: where none of it was sent, the client gets this one.
    pub(super) fn given_up<C: Client>(&self, order: &mut Order<'_>, client: &mut C, reply: Reply) -> Ended {
        order.attempts.finished(Attempt::Ok, clock::now());
        Ended::Final(if client.take_back() { End::Answer(reply) } else { End::Broken })
    }

    /// The request is refused on its way: nobody upstream is at fault.
    pub(super) fn refused(&self, order: &mut Order<'_>, reply: Reply) -> Ended {
        if self.stage == Stage::Head {
            return Ended::Failed(Failure::Neutral, Some(reply));
        }
        order.attempts.finished(Attempt::Ok, clock::now());
        Ended::Final(End::Broken)
    }

    /// The client is no use any more.
    pub(super) fn lost(&self, order: &mut Order<'_>, lost: Lost) -> Ended {
        note(order, lost);
        match lost {
            Lost::Refused(refusal) => self.refused(order, refusals::unreadable(refusal)),
            Lost::Left if self.stage == Stage::Head => Ended::Failed(Failure::Neutral, None),
            Lost::Left => {
                order.attempts.finished(Attempt::Ok, clock::now());
                Ended::Final(End::Gone)
            }
        }
    }
}

/// The log says that it was the client.
pub(super) fn note(order: &mut Order<'_>, lost: Lost) {
    if lost == Lost::Left {
        *order.flag = Some(Flag::DownstreamConnectionTermination);
    }
}
