//! Requests that many services answer together, over real sockets: public cases, hostile answers, faults while others ask.

/// Every case that is written down, against pools that answer as it says.
mod cases;
/// Faults at one service while many users ask.
mod chaos;
/// Services that answer to break the answer.
mod hostile;
/// What is kept of calls' answers, and for whom.
mod kept;
/// What KrakenD's own tests ask, in this gateway's language.
mod krakend;
/// What the tests of its engine ask.
mod lura;
/// Pools of services that answer as they are told.
pub mod mock;
/// What is promised, rule by rule.
mod rules;
/// How such a request is served: its body, its client, what is told of its calls.
mod serving;
/// A reading of JSON that shares nothing with the one that is tested.
mod strict;
/// What explain, cases and the page say of such a request.
mod told;
