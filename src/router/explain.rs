//! Why a request goes where it goes: every host and path that match it, best first, and what the first has over each.

use std::ops::ControlFlow;

use super::{Origin, Pattern, Router, Segment};

/// One host and path that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate<'r> {
    /// As configured, with its `*.`.
    pub host: Option<&'r str>,
    /// As configured by the first of its routes.
    pub path: &'r str,
    /// All routes with exactly this host and path, by index; they differ in their methods, or in the facts that they ask for.
    pub routes: Vec<usize>,
    /// What the winner has over this one; none for the winner.
    pub beaten: Option<String>,
}

impl Router {
    /// All that match this host and path, best first: the first one wins.
    pub(crate) fn candidates(&self, host: &str, path: &str) -> Vec<Candidate<'_>> {
        let mut candidates = Vec::new();
        let mut winner = None;
        let _ = self.visit(host, path, &mut |leaf| {
            let routes: Vec<_> = leaf.routes().collect();
            let this = &self.routes[routes[0]];
            let beaten = winner.map(|winner| advantage(winner, this));
            winner.get_or_insert(this);
            candidates.push(Candidate { host: this.host.as_deref(), path: this.path.as_str(), routes, beaten });
            ControlFlow::<()>::Continue(())
        });
        candidates
    }
}

fn advantage(winner: &Origin, other: &Origin) -> String {
    match (winner.host.as_deref(), other.host.as_deref()) {
        (a, b) if a == b => path_advantage(&winner.path, &other.path),
        (Some(host), None) => format!("host `{host}` comes before routes without a host"),
        (Some(a), Some(b)) if a.starts_with("*.") => format!("host suffix `{a}` is longer than `{b}`"),
        (Some(a), Some(b)) => format!("host `{a}` is exact, `{b}` is a suffix"),
        (None, _) => unreachable_order(),
    }
}

fn path_advantage(winner: &Pattern, other: &Pattern) -> String {
    let (winner, other) = (winner.segments(), other.segments());
    let same = |(a, b): &(&Segment, &Segment)| a == b || matches!((a, b), (Segment::Variable(_), Segment::Variable(_)));
    let split = winner.iter().zip(other).take_while(same).count();
    let number = split + 1;
    match (winner.get(split).map(name), other.get(split).map(name)) {
        (Some(a), Some(b)) => format!("segment {number}: {a} comes before {b}"),
        (None, _) => "its path ends here, the other goes on with `**`".into(),
        (_, None) => unreachable_order(),
    }
}

fn name(segment: &Segment) -> String {
    match segment {
        Segment::Literal(text) if text.is_empty() => "the trailing slash".into(),
        Segment::Literal(text) => format!("literal `{text}`"),
        Segment::Variable(name) => format!("`{{{name}}}`"),
        Segment::Rest => "`**`".into(),
    }
}

/// What the order of the search rules out, told without a panic in front of an operator.
fn unreachable_order() -> String {
    "it was found first".into()
}
