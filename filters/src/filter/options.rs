//! What every kind's `Config` implements: all that the gateway needs to know of a filter before it is built.

use std::sync::Arc;

use http::HeaderName;

use super::Filter;
use super::build::{Build, Outside};
use crate::words::selector::Selector;
use crate::words::spanned::{Place, Problem, Spanned};

/// The options of one kind of filter. Everything but [`Options::build`] has a default that suits a filter which only looks or alters.
pub trait Options {
    /// Compiles checked options, taking over what may be kept of the filter's earlier self ([`Build::kept_or`], [`Build::earlier`]). The error
    /// is outside of the options: a file that cannot be read.
    fn build(&self, with: &Build<'_>) -> Result<Arc<dyn Filter>, String>;

    /// What is wrong with the options that their types could not refuse.
    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// Puts in what is left out of the options as they are written, and has a default that follows from the others: for those who want to see
    /// what holds.
    fn fill(&self, _written: &mut serde_json::Map<String, serde_json::Value>) {}

    /// What it learns while it serves, in words: all of it is lost where a reload finds its options changed.
    fn state(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Whether it learns something of each upstream by itself, which is lost where that one is gone.
    fn watches_upstreams(&self) -> bool {
        false
    }

    /// What cannot be had of what lies outside: files, secrets, keys. It is tried without building the filter.
    fn missing(&self, _outside: &dyn Outside) -> Vec<Problem> {
        Vec::new()
    }

    /// The facts of a request that it reads. One that reads claims needs a filter before it that identifies the caller.
    fn selectors(&self) -> Vec<Spanned<&Selector>> {
        Vec::new()
    }

    /// Whether what it does with a request depends on the version that the route's canary chooses for it: the choice is made before such a
    /// filter.
    fn depends_on_version(&self) -> bool {
        self.selectors().iter().any(|selector| *selector.value == Selector::Version)
    }

    /// The facts that decide how much a caller may do, each with its place and, for one that a client can choose, what follows from that.
    fn accounts(&self) -> Vec<(&Selector, Place, &'static str)> {
        Vec::new()
    }

    /// The classes of devices that it names, each with the place of what is written for it.
    fn device_classes(&self) -> Vec<Spanned<&str>> {
        Vec::new()
    }

    /// The upstreams that it may send a request to.
    fn upstreams(&self) -> Vec<&Spanned<String>> {
        Vec::new()
    }

    /// Whether it may answer a request in place of the upstream.
    fn can_refuse(&self) -> bool {
        false
    }

    /// Whether it does nothing at all, as it is written.
    fn does_nothing(&self) -> bool {
        false
    }

    /// Whether it makes gRPC calls of requests, for upstreams that speak HTTP/2.
    fn needs_grpc(&self) -> bool {
        false
    }

    /// Whether it verifies who the caller is, and says so in [`super::Facts::identity`].
    fn identifies(&self) -> bool {
        false
    }

    /// The request headers that say who the caller is: what a client sends under these names is removed on every route.
    fn identity_headers(&self) -> Vec<HeaderName> {
        Vec::new()
    }

    /// The request headers that it reads secrets of callers from, beside Authorization and Cookie: what is meant for others goes without them.
    fn credentials(&self) -> Vec<HeaderName> {
        Vec::new()
    }

    /// Does once, before requests come, what would make the first of them slow.
    fn warm_up(&self) {}

    /// Where among a route's filters it can work.
    fn placement(&self) -> Vec<Placement> {
        Vec::new()
    }
}

/// A rule about the place of a filter among those of its route. The texts say, after a colon, what would go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// At most one of its kind.
    Once,
    /// No filter before it can refuse.
    BeforeRefusals(&'static str),
    /// No filter of this kind comes before it.
    Before(&'static str, &'static str),
    /// No filter comes after it.
    Last(&'static str),
    /// A filter that identifies the caller comes before it, and is enforced where this one is.
    AfterIdentity(&'static str),
    /// What is written at this place cannot be where a filter that identifies the caller comes before it.
    Anonymous(Place, &'static str),
}
