//! Requests that many services answer together, over real sockets: public cases, hostile answers, faults while others ask.

/// What answers for several values at once have to be.
mod batches;
/// Where calls lead, how long they take, and what answers cost.
mod bounds;
/// Every case that is written down, against pools that answer as it says.
mod cases;
/// Faults at one service while many users ask.
mod chaos;
/// What is known of a client's device.
mod devices;
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
/// What operators see of pages that fail or lack something.
mod seen;
/// Services that speak GraphQL.
pub mod services;
/// How such a request is served: its body, its client, what is told of its calls.
mod serving;
/// A reading of JSON that shares nothing with the one that is tested.
mod strict;
/// What explain, cases and the page say of such a request.
mod told;
