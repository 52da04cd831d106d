//! What a request to a graph costs, and what its plans take of memory.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::counting::{allocations_of, left_by};
use crate::proxies::start;
use crate::traffic::{question, send};
use crate::{STRAY, holds};
use frontgate_test_support::yaml;

/// A query that is known, with a variable: two calls that are made at once, and its answer.
const TWO_CALLS: f64 = 95.0;
/// A query that is known, with a list of ten values, five of which are others: five calls at once.
const MANY_CALLS: f64 = 143.0;
/// The plans of this many documents.
const PLANS: u64 = 1_000;
/// The most bytes that they may take: twenty million are allowed, and nine are taken.
const BYTES: i64 = 9 << 20;

/// Whether all of it is in the budget.
#[allow(clippy::print_stdout, reason = "the figures are this test's product")]
pub fn hold(origin: SocketAddr) -> bool {
    let running = start(&yaml(
        "
        server: {listeners: [{address: 127.0.0.1:0}], threads: 1}
        upstreams:
          main: {endpoints: [$ORIGIN]}
        routes:
          - name: graph
            path: /graphql
            graphql:
              schema: \"type Query { user(id: ID!): User, cart(id: ID!): User, users(ids: [ID!]!): [User] }
                        type User { id: ID!, name: String!, email: String, city: String }\"
              fields:
                Query.user: {upstream: main, get: \"/users/{args.id}\"}
                Query.cart: {upstream: main, get: \"/carts/{args.id}\"}
                Query.users: {upstream: main, get: \"/users/{each}\", each: args.ids}
        ",
        &[("$ORIGIN", &origin)],
    ));
    let address = running.addresses()[0];
    let two = question(r#"{"query":"query Q($id: ID!) {user(id: $id) {id name} cart(id: $id) {id name}}","variables":{"id":"1"}}"#);
    let count = allocations_of(address, &two);
    println!("allocations a request: a known query with two calls {count:.2}");
    let mut good = holds("allocations of a query with two calls", count, TWO_CALLS + STRAY);
    let many = question(r#"{"query":"{users(ids: [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]) {id name email}}"}"#);
    let count = allocations_of(address, &many);
    println!("allocations a request: a known query with five calls for ten values {count:.2}");
    good &= holds("allocations of a query with five calls", count, MANY_CALLS + STRAY);
    let plans = left_by(|| (0..PLANS).for_each(|number| send(address, 1, &question(&document(number)), "200")));
    println!("memory of {PLANS} plans: {:.2} MB", plans as f64 / 1e6);
    good &= holds("bytes of plans", plans as f64, BYTES as f64);
    let more = left_by(|| (PLANS..PLANS * 2).for_each(|number| send(address, 1, &question(&document(number)), "200")));
    println!("memory of as many in their places: {:+.2} MB", more as f64 / 1e6);
    good & holds("bytes of plans in the places of others", more as f64, BYTES as f64 / 10.0)
}

/// A document of thirty fields that no other number has.
fn document(number: u64) -> String {
    let mut text = format!("{{\"query\":\"query Q{number} {{user(id: {number}) {{");
    for (index, name) in ["id", "name", "email", "city"].iter().cycle().take(30).enumerate() {
        let _ = write!(text, "f{number}x{index}: {name} ");
    }
    text + "}}\"}"
}
