//! From host, path and method to one route, so that no request slips past a stricter route onto a wider one.
//!
//! The exact host comes first, then the longest `*.` suffix, then routes without a host; a tier without a matching path
//! yields to the next. Paths compare segment by segment: literal, then `{x}`, then `**`. The first host and path that
//! match decide alone: a method they lack is [`Found::WrongMethod`], and a request that has the facts of none of their routes is
//! [`Found::Unmet`], never somebody else's request.
//!
//! Both inputs are normalised once, before anything else looks at them: [`host_of`] and [`normalise`]. Looking up
//! allocates nothing and visits each node of the tree at most once, so no path can make it slow.

mod explain;
mod fold;
mod host;
mod leaf;
mod template;
#[cfg(test)]
mod tests;
mod trie;

use std::collections::HashMap;
use std::ops::ControlFlow;

use frontgate_filters::words::matching::Match;
use http::Method;

/// What stands for the route, in metrics and logs, of a request that no route matches. No route can have this name.
pub(crate) use frontgate_filters::count::metrics::NONE as UNMATCHED;
pub(crate) use frontgate_filters::words::path::normalise;
pub(crate) use frontgate_filters::words::pattern::{Pattern, Segment};
pub(crate) use host::host_of;
pub(crate) use template::Template;

use fold::Folding;
use leaf::Leaf;
use trie::{Id, Trie};

/// What one route answers to. Its place in the slice given to [`Router::build`] is the route's index.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    /// A host as [`host_of`] gives it, `*.` and such a host, or none for every host.
    pub host: Option<&'a str>,
    /// A path pattern that [`Pattern::parse`] accepts.
    pub path: &'a str,
    /// None takes every method; GET brings HEAD along, unless another route of the same host, path and facts names it.
    pub methods: Option<Vec<Method>>,
    /// Facts that a request must have, too. Routes of one host and path are tried in their order.
    pub when: Option<&'a Match>,
}

/// What the router has to say about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<'r> {
    /// The index of the route that takes it.
    Route(usize),
    /// The winning host and path exist, but not for this method: a 405.
    WrongMethod {
        /// The value of `Allow`: the methods of all routes with exactly that host and path.
        allow: &'r str,
    },
    /// The winning host and path have routes for this method, and the request has the facts of none: a 404.
    Unmet {
        /// The last of them that was passed over.
        last: usize,
    },
    /// No host and path match: a 404.
    None,
}

/// All routes, compiled: never changes, shared by every request of a snapshot.
pub(crate) struct Router {
    exact: Hosts,
    /// The part behind `*.`.
    suffixes: Hosts,
    anywhere: Option<Id>,
    trie: Trie,
    leaves: Vec<Leaf>,
    /// As configured, for [`Router::explain`].
    routes: Vec<Origin>,
}

/// Where a host's paths begin in the tree.
type Hosts = HashMap<Box<str>, Id, Folding>;

struct Origin {
    host: Option<Box<str>>,
    path: Pattern,
}

impl Router {
    /// Compiles entries that were checked: every pattern parses, and no two share host, path, method and facts.
    ///
    /// # Panics
    ///
    /// When a pattern does not parse.
    pub(crate) fn build(entries: &[Entry]) -> Self {
        let (mut exact, mut suffixes, mut anywhere) = (Hosts::default(), Hosts::default(), None);
        let mut tree = trie::Builder::default();
        let mut claims: Vec<Vec<leaf::Claim>> = Vec::new();
        let mut routes = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let path = Pattern::parse(entry.path).expect("patterns are checked with the configuration");
            let root = match entry.host {
                None => *anywhere.get_or_insert_with(|| tree.root()),
                Some(host) => match host.strip_prefix("*.") {
                    Some(suffix) => *suffixes.entry(suffix.into()).or_insert_with(|| tree.root()),
                    None => *exact.entry(host.into()).or_insert_with(|| tree.root()),
                },
            };
            let place = tree.place(root, &path);
            let leaf = *place.get_or_insert_with(|| {
                claims.push(Vec::new());
                Id::of(claims.len() - 1)
            });
            claims[leaf.index()].push(leaf::Claim { route: index, methods: entry.methods.clone(), when: entry.when });
            routes.push(Origin { host: entry.host.map(Box::from), path });
        }
        let leaves = claims.iter().map(|claims| Leaf::compile(claims)).collect();
        Self { exact, suffixes, anywhere, trie: tree.finish(), leaves, routes }
    }

    /// The route for a host from [`host_of`] (empty where the request names none) and a path from [`normalise`].
    ///
    /// The path of `OPTIONS *` matches nothing. `holds` says whether the request has the facts of a route that asks for some; it is asked of
    /// those alone, in their order, up to the first that it has.
    pub(crate) fn find(&self, host: &str, path: &str, method: &Method, holds: &mut dyn FnMut(usize) -> bool) -> Found<'_> {
        match self.visit(host, path, &mut |leaf| ControlFlow::Break(leaf)) {
            ControlFlow::Break(leaf) => leaf.find(method, holds),
            ControlFlow::Continue(()) => Found::None,
        }
    }

    /// The routes of the winning host and path, in their order, each with whether it takes this method.
    pub(crate) fn tried(&self, host: &str, path: &str, method: &Method) -> Vec<(usize, bool)> {
        match self.visit(host, path, &mut |leaf| ControlFlow::Break(leaf)) {
            ControlFlow::Break(leaf) => leaf.routes().map(|route| (route, leaf.takes(route, method))).collect(),
            ControlFlow::Continue(()) => Vec::new(),
        }
    }

    /// The routes of every host and path of which one asks for facts.
    pub(crate) fn shared(&self) -> impl Iterator<Item = Vec<usize>> {
        self.leaves.iter().filter(|leaf| leaf.asks()).map(|leaf| leaf.routes().collect())
    }

    /// Shows every host and path that match to `each`, best first, until it breaks.
    fn visit<'r, B>(&'r self, host: &str, path: &str, each: &mut impl FnMut(&'r Leaf) -> ControlFlow<B>) -> ControlFlow<B> {
        let Some(path) = path.strip_prefix('/') else { return ControlFlow::Continue(()) };
        for root in self.roots(host) {
            self.trie.visit(root, Some(path.as_bytes()), &mut |leaf| each(&self.leaves[leaf.index()]))?;
        }
        ControlFlow::Continue(())
    }

    /// The trees of the tiers this host belongs to, best first.
    fn roots(&self, host: &str) -> impl Iterator<Item = Id> {
        fn parent<'h>(name: &&'h str) -> Option<&'h str> {
            name.split_once('.').map(|(_, parent)| parent)
        }
        let first = if self.suffixes.is_empty() { None } else { Some(host) };
        let suffixes = std::iter::successors(first, parent).skip(1);
        let exact = self.exact.get(host).copied();
        exact.into_iter().chain(suffixes.filter_map(|name| self.suffixes.get(name).copied())).chain(self.anywhere)
    }
}
