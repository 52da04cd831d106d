//! What a document would ask for, line by line.

use http::StatusCode;

use crate::compose::graphql::{Operation, Planned};

/// A document's operation in a line, and its calls in the order in which they can be made, a line each.
pub(crate) fn lines(planned: &Planned) -> (String, Vec<String>) {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let kind = match planned.operation {
        Operation::Query => "query",
        Operation::Mutation => "mutation",
    };
    let name = planned.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    let stages = planned.calls.iter().map(|call| call.stage).max().unwrap_or(0);
    let cost = planned.cost.map(|cost| format!(", cost {cost}")).unwrap_or_default();
    let (fields, calls, stages) = (count(planned.fields, "field"), count(planned.calls.len(), "call"), count(stages, "stage"));
    let what = format!("{kind}{name}, {fields}, {calls}, {stages}{cost}");
    let width = |of: &dyn Fn(usize) -> usize| (0..planned.calls.len()).map(of).max().unwrap_or(0);
    let (names, asks) = (width(&|at| planned.calls[at].name.len()), width(&|at| planned.calls[at].asks.chars().count()).min(70));
    let mut before = 0;
    let lines = planned.calls.iter().map(|call| {
        let stage = if call.stage == before { String::new() } else { format!("stage {}", call.stage) };
        before = call.stage;
        let each = call.each.as_ref().map(|each| format!(", {each}")).unwrap_or_default();
        format!("{stage:<8} {:<names$} {:<asks$}  for {}{each}", call.name, call.asks, call.keys.join(", "))
    });
    let lines = lines.collect();
    (what, lines)
}

/// What becomes of a request to a graph.
pub(crate) enum Told {
    /// It is answered with this status without a query, for this reason.
    Answered(StatusCode, String),
    /// It would ask for this.
    Asks(String, Vec<String>),
}
