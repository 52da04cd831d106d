//! What a consistent hash makes of a request: by the fact that the pool names, else by the client's address.

use frontgate_filters::filter::Facts;
use pingora_http::RequestHeader;

use super::Pool;
use super::balance::hash_of;

/// The hash of a request for a pool that balances by one.
pub(crate) fn of(pool: &Pool, head: &RequestHeader, facts: &Facts) -> Option<u64> {
    let selector = pool.hashes()?;
    Some(match selector.find(head, facts) {
        Some(value) => hash_of(&value, 0),
        None => hash_of(facts.client_ip.to_string().as_bytes(), 0),
    })
}
