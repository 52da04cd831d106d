//! What is counted of a route's graph: what its requests came to, why some were refused, and how often a plan was there already.

use std::sync::atomic::{AtomicU64, Ordering};

use super::scrape::Scrape;

/// What an operation does, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GraphqlOperation {
    /// It reads.
    Query,
    /// It changes something.
    Mutation,
    /// Nobody knows: there was no document, or none that could be read.
    Unknown,
}

/// What a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GraphqlResult {
    /// It has all its data.
    Ok,
    /// It has data, with errors or with calls missing.
    Partial,
    /// It was no request, or its document does not fit the schema.
    Invalid,
    /// It was one, and is not run.
    Refused,
}

/// Why a request was not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GraphqlRefusal {
    /// Another method than those that there are.
    Method,
    /// It accepts no form that answers have.
    NotAcceptable,
    /// Its body is no JSON by its type.
    MediaType,
    /// It is several in one.
    Batch,
    /// It is not what a request has to be.
    Malformed,
    /// Its document cannot be read.
    Parse,
    /// Its document does not fit the schema.
    Validation,
    /// None of the document's operations is meant.
    Operation,
    /// A variable has no value that it can have.
    Variables,
    /// It would do more than is allowed.
    Limit,
    /// A mutation in a URL.
    MutationByGet,
    /// It asks for the schema, and may not.
    Introspection,
    /// It is none of those that are run.
    NotPersisted,
    /// Its document is asked for by what nothing is known by.
    UnknownDocument,
    /// Its document is asked for by a hash, and none are known.
    NoPersisted,
    /// Its document has another hash than it says.
    OtherHash,
}

impl GraphqlOperation {
    const ALL: [Self; 3] = [Self::Query, Self::Mutation, Self::Unknown];

    fn word(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Unknown => "unknown",
        }
    }
}

impl GraphqlResult {
    const ALL: [Self; 4] = [Self::Ok, Self::Partial, Self::Invalid, Self::Refused];

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Partial => "partial",
            Self::Invalid => "invalid",
            Self::Refused => "refused",
        }
    }
}

impl GraphqlRefusal {
    /// All of them, in the order of their numbers.
    const ALL: [Self; 16] = [
        Self::Method,
        Self::NotAcceptable,
        Self::MediaType,
        Self::Batch,
        Self::Malformed,
        Self::Parse,
        Self::Validation,
        Self::Operation,
        Self::Variables,
        Self::Limit,
        Self::MutationByGet,
        Self::Introspection,
        Self::NotPersisted,
        Self::UnknownDocument,
        Self::NoPersisted,
        Self::OtherHash,
    ];

    /// As metrics have it.
    fn word(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::NotAcceptable => "not_acceptable",
            Self::MediaType => "media_type",
            Self::Batch => "batch",
            Self::Malformed => "malformed",
            Self::Parse => "parse",
            Self::Validation => "validation",
            Self::Operation => "operation",
            Self::Variables => "variables",
            Self::Limit => "limit",
            Self::MutationByGet => "mutation_by_get",
            Self::Introspection => "introspection",
            Self::NotPersisted => "not_persisted",
            Self::UnknownDocument => "unknown_document",
            Self::NoPersisted => "no_persisted",
            Self::OtherHash => "other_hash",
        }
    }

    /// What a request came to that was refused so.
    #[cfg_attr(not(feature = "graphql"), allow(dead_code, reason = "there are no graphs"))]
    fn result(self) -> GraphqlResult {
        match self {
            Self::Batch | Self::Malformed | Self::Parse | Self::Validation | Self::Operation | Self::Variables => GraphqlResult::Invalid,
            Self::Method | Self::NotAcceptable | Self::MediaType | Self::Limit | Self::MutationByGet | Self::Introspection => {
                GraphqlResult::Refused
            }
            Self::NotPersisted | Self::UnknownDocument | Self::NoPersisted | Self::OtherHash => GraphqlResult::Refused,
        }
    }
}

/// The counters of one route's graph.
#[derive(Debug, Default)]
pub(crate) struct GraphqlMetrics {
    requests: [[AtomicU64; GraphqlResult::ALL.len()]; GraphqlOperation::ALL.len()],
    refused: [AtomicU64; GraphqlRefusal::ALL.len()],
    plans: [AtomicU64; 2],
}

#[cfg_attr(not(feature = "graphql"), allow(dead_code, reason = "there are no graphs"))]
impl GraphqlMetrics {
    /// A request was executed.
    pub(crate) fn executed(&self, operation: GraphqlOperation, is_whole: bool) {
        let result = if is_whole { GraphqlResult::Ok } else { GraphqlResult::Partial };
        self.requests[operation as usize][result as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A request was not executed.
    pub(crate) fn refused(&self, operation: GraphqlOperation, why: GraphqlRefusal) {
        self.requests[operation as usize][why.result() as usize].fetch_add(1, Ordering::Relaxed);
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A document was to be executed, whose plan was there already or had to be made.
    pub(crate) fn planned(&self, was_there: bool) {
        self.plans[usize::from(!was_there)].fetch_add(1, Ordering::Relaxed);
    }

    /// Every series once, as it is before anything is counted.
    pub(super) fn scrape(&self, route: &str, scrape: &mut Scrape) {
        let help = "Requests to a graph, by what they do and what they came to: partial has data, with errors or with calls missing.";
        for operation in GraphqlOperation::ALL {
            for result in GraphqlResult::ALL {
                let count = self.requests[operation as usize][result as usize].load(Ordering::Relaxed) as f64;
                let labels = [("route", route), ("operation", operation.word()), ("result", result.word())];
                scrape.counter("frontgate_graphql_requests_total", help, &labels, count);
            }
        }
        let help = "Requests to a graph that were not executed, by why.";
        for why in GraphqlRefusal::ALL {
            let count = self.refused[why as usize].load(Ordering::Relaxed) as f64;
            scrape.counter("frontgate_graphql_refused_total", help, &[("route", route), ("reason", why.word())], count);
        }
        let help = "Documents that were to be executed, by whether their plan was kept (hit) or had to be made (miss).";
        for (result, count) in ["hit", "miss"].into_iter().zip(&self.plans) {
            let count = count.load(Ordering::Relaxed) as f64;
            scrape.counter("frontgate_graphql_plans_total", help, &[("route", route), ("result", result)], count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_place() {
        for (index, why) in GraphqlRefusal::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, index);
        }
        for (index, operation) in GraphqlOperation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, index);
        }
        for (index, result) in GraphqlResult::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, index);
        }
    }

    #[test]
    fn what_is_refused_counts_as_a_request_too() {
        let metrics = GraphqlMetrics::default();

        metrics.executed(GraphqlOperation::Mutation, true);
        metrics.executed(GraphqlOperation::Query, false);
        metrics.refused(GraphqlOperation::Query, GraphqlRefusal::Limit);
        metrics.refused(GraphqlOperation::Unknown, GraphqlRefusal::Parse);
        metrics.planned(true);

        let mut scrape = Scrape::default();
        metrics.scrape("graph", &mut scrape);
        let page = scrape.page();
        for line in [
            r#"frontgate_graphql_requests_total{route="graph",operation="mutation",result="ok"} 1"#,
            r#"frontgate_graphql_requests_total{route="graph",operation="query",result="partial"} 1"#,
            r#"frontgate_graphql_requests_total{route="graph",operation="query",result="refused"} 1"#,
            r#"frontgate_graphql_requests_total{route="graph",operation="unknown",result="invalid"} 1"#,
            r#"frontgate_graphql_requests_total{route="graph",operation="unknown",result="ok"} 0"#,
            r#"frontgate_graphql_refused_total{route="graph",reason="limit"} 1"#,
            r#"frontgate_graphql_refused_total{route="graph",reason="batch"} 0"#,
            r#"frontgate_graphql_plans_total{route="graph",result="hit"} 1"#,
            r#"frontgate_graphql_plans_total{route="graph",result="miss"} 0"#,
        ] {
            assert!(page.contains(line), "{line}: {page}");
        }
    }
}
