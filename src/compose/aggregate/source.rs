//! What a reference became: where its value is found when a request is there.

use std::sync::Arc;

use frontgate_filters::json::Plan;
use frontgate_filters::words::selector::Selector;

use super::Names;
use crate::compose::reference::Variable;
use crate::compose::template;

/// Where a value is found.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// In the request's path.
    Variable(Variable),
    /// Among the request's facts.
    Selector(Selector),
    /// The whole query.
    Query,
    /// In the client's body.
    Body(Spot),
    /// In the answer of the call of this index.
    Call(usize, Spot),
    /// The value that the call is made for, or a list of such.
    Each,
}

/// Where in a text of JSON.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    /// The names that lead there, from the part that counts on.
    pub(super) names: Names,
    /// The mark; none is all of it.
    pub(super) mark: Option<u16>,
    /// How many elements are picked on the way there from the part that counts: the way through more arrays leads to a list.
    pub(super) picked: usize,
    /// Marks all that lies on the way there, where an array makes a list, even if nothing is found behind it.
    pub(super) way: Option<Arc<Plan>>,
}

impl Source {
    /// How the configuration names it, but for the numbers of elements on the way; nothing where that is a variable of the path. `call` says what
    /// a call is named.
    pub(super) fn name<'n>(&self, call: impl FnOnce(usize) -> &'n str) -> Option<Box<str>> {
        let of = |first: &str, spot: &Spot| spot.names.iter().fold(first.to_owned(), |name, next| name + "." + next).into();
        match self {
            Self::Variable(_) => None,
            Self::Selector(selector) => Some(selector.to_string().into()),
            Self::Query => Some("query".into()),
            Self::Body(spot) => Some(of("body", spot)),
            Self::Call(index, spot) => Some(of(call(*index), spot)),
            Self::Each => Some("each".into()),
        }
    }

    /// The call whose answer it is in.
    pub(super) fn call(&self) -> Option<usize> {
        match self {
            Self::Call(call, _) => Some(*call),
            _ => None,
        }
    }
}

impl template::Source for Source {
    fn is_query(&self) -> bool {
        matches!(self, Self::Query)
    }
}
