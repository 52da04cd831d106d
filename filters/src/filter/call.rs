//! A call as the filters that guard it see it, beside its head: who has asked for it, and what else it tells its upstream.

use pingora_http::RequestHeader;

/// What is known of a call beside its own head. Its head has the fields that are written for the call; its host there is its upstream's name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calling<'c> {
    /// The head of the request that it is made for: facts of a request are looked for there. None where it is made for no request.
    pub asker: Option<&'c RequestHeader>,
    /// What it says of hosts and schemes, in an order that is always the same: an answer may be another for each of them.
    pub hosts: [Option<&'c [u8]>; 4],
    /// Its body.
    pub body: &'c [u8],
}

/// Keeps what a filter has held back of the answer to a call: run once whoever made the call has taken the answer for a good one.
pub type Keep = Box<dyn FnOnce() + Send + Sync>;
