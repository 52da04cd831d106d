//! The keys of a call as they are written, all on one level: those that every call has, and what is made of them.

use frontgate_filters::words::spanned::Spanned;

use super::{Call, Verb};

/// Declares what is written of a call: the keys that every one has, each with its own text where what it says is not the same everywhere, and
/// further ones behind them.
macro_rules! keys_of_a_call {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $Name:ident {
            $(#[$upstream:meta])*
            upstream: $Upstream:ty,
            $(#[$get:meta])*
            get,
            $(#[$body:meta])*
            body,
            $(#[$headers:meta])*
            headers,
            $(#[$timeout:meta])*
            timeout,
            $($rest:tt)*
        }
    ) => {
        $(#[$meta])*
        $visibility struct $Name {
            $(#[$upstream])*
            $visibility upstream: $Upstream,
            $(#[$get])*
            #[serde(default, skip_serializing_if = "Option::is_none")]
            $visibility get: Option<Spanned<String>>,
            /// Path and query of a POST.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            $visibility post: Option<Spanned<String>>,
            /// Path and query of a PUT.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            $visibility put: Option<Spanned<String>>,
            /// Path and query of a PATCH.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            $visibility patch: Option<Spanned<String>>,
            /// Path and query of a DELETE.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            $visibility delete: Option<Spanned<String>>,
            $(#[$body])*
            #[serde(default, deserialize_with = "written", skip_serializing_if = "Option::is_none")]
            #[schemars(with = "Option<Json>")]
            $visibility body: Option<Spanned<Json>>,
            $(#[$headers])*
            #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
            $visibility headers: BTreeMap<String, Spanned<String>>,
            $(#[$timeout])*
            #[serde(default, skip_serializing_if = "Option::is_none")]
            $visibility timeout: Option<Spanned<Duration>>,
            $($rest)*
        }

        impl $Name {
            /// The verbs that are written, each with its path and query.
            fn requests(&mut self) -> Vec<(Verb, Spanned<String>)> {
                let targets = [&mut self.get, &mut self.post, &mut self.put, &mut self.patch, &mut self.delete].map(Option::take);
                Verb::ALL.into_iter().zip(targets).filter_map(|(verb, target)| Some((verb, target?))).collect()
            }
        }
    };
}

pub(in crate::config::model) use keys_of_a_call;

/// The paths and queries of a call, in the order of [`Verb::ALL`].
pub(in crate::config::model) fn targets(call: &Call) -> [Option<Spanned<String>>; 5] {
    Verb::ALL.map(|wanted| call.requests.iter().find(|(verb, _)| *verb == wanted).map(|(_, target)| target.clone()))
}
