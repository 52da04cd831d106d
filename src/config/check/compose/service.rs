//! `query` and `variables` of a call: a document that a GraphQL service can be sent, and a value for each of its variables that needs one.

use frontgate_filters::words::spanned::Spanned;

use crate::config::check::Report;
use crate::config::model::{Call, Verb};

/// What is wrong with a call to a GraphQL service, whatever else there is.
pub(super) fn check(call: Spanned<&Call>, report: &mut Report<'_, '_>) {
    let Some(query) = &call.query else {
        if let Some(variables) = &call.variables {
            let message = "`variables` belong to `query`, which this call has not";
            report.lacking(report.tree.key_of(variables.place), message);
        }
        return;
    };
    let key = report.tree.key_of(query.place);
    if let Some(body) = &call.body {
        let message = "a call sends a `query` to a GraphQL service or a `body` to any other, not both";
        report.both(report.tree.key_of(body.place), message, key, "this is sent with its variables");
    }
    for (verb, target) in call.requests.iter().filter(|(verb, _)| *verb != Verb::Post) {
        let help = Some(format!("write `post: {}`", target.value));
        report.helped(report.tree.key_of(target.place), format!("a GraphQL service is asked by POST, and this is `{}`", verb.key()), help);
    }
    if !cfg!(feature = "graphql") {
        report.helped(key, "this build asks no GraphQL services", Some("build it with `--features graphql`".to_owned()));
    }
    #[cfg(feature = "graphql")]
    document::check(call.value, query, report);
}

/// Whether a call changes nothing although it is no GET: a query does not.
pub(super) fn only_asks(call: &Call) -> bool {
    does_change(call) == Some(false)
}

/// Whether a call sends a mutation.
pub(super) fn changes(call: &Call) -> bool {
    does_change(call) == Some(true)
}

/// Whether the document of a call changes something; nothing where it has none that can be read.
fn does_change(call: &Call) -> Option<bool> {
    #[cfg(feature = "graphql")]
    return call.query.as_ref().and_then(|query| document::changes(query));
    #[cfg(not(feature = "graphql"))]
    return call.query.as_ref().map(|_| false);
}

#[cfg(feature = "graphql")]
mod document {
    use frontgate_filters::words::spanned::Spanned;

    use crate::compose::reference::Text;
    use crate::compose::service::document::{Document, Variable};
    use crate::compose::template::Scalar;
    use crate::config::check::Report;
    use crate::config::model::{Call, Json};

    /// Whether a document changes something; nothing where it cannot be read.
    pub(super) fn changes(query: &str) -> Option<bool> {
        Document::read(query).ok().map(|document| document.changes)
    }

    pub(super) fn check(call: &Call, query: &Spanned<String>, report: &mut Report<'_, '_>) {
        let text = Spanned { value: query.value.as_str(), place: query.place };
        let document = match Document::read(text.value) {
            Ok(document) => document,
            Err(faults) => {
                for fault in faults {
                    report.inside(text, fault.at, fault.message, None);
                }
                return;
            }
        };
        let written = call.variables.as_ref().map(|variables| &variables.value);
        let given = |name: &str| written.is_some_and(|variables| variables.iter().any(|(given, _)| given == name));
        // One that could not be read is given all the same.
        let is_torn = call.variables.as_ref().is_some_and(|variables| report.tree.is_torn_at(variables.place));
        for variable in document.variables.iter().filter(|variable| variable.is_required && !given(&variable.name) && !is_torn) {
            let message = format!("`${}` is `{}`, and nothing gives it a value", variable.name, variable.written);
            let help = Some(format!("write `variables: {{{}: …}}`, or give it a default here", variable.name));
            report.inside(text, variable.at.clone(), message, help);
        }
        for (name, value) in written.iter().flat_map(|variables| variables.iter()) {
            match document.variables.iter().find(|variable| variable.name == *name) {
                Some(variable) => self::value(call, variable, value, report),
                None => {
                    let known = document.variables.iter().map(|variable| variable.name.as_str());
                    report.unknown(report.tree.key_of(value.place), "variable of the query", name, known);
                }
            }
        }
    }

    /// Whether what is written for a variable can be one of its type, as far as that can be said.
    fn value(call: &Call, variable: &Variable, value: &Spanned<Json>, report: &mut Report<'_, '_>) {
        let of_type = format!("`${}` is `{}`", variable.name, variable.written);
        if let Json::Text(text) = &value.value {
            // What is wrong with its references is said where they are read.
            let Ok(read) = Text::parse(text) else { return };
            let Some(reference) = read.only() else {
                if variable.scalar != Scalar::Any {
                    report.error(value.place, format!("{of_type}, and this is always text"));
                }
                return;
            };
            let default = reference.default.as_deref().filter(|default| variable.scalar.of_text(default.as_bytes()).is_none());
            if let Some(default) = default {
                report.error(value.place, format!("{of_type}, and `{default}` is no {}", variable.scalar));
            }
            if reference.head == "each" && call.batch.is_some() && !variable.is_list {
                let help = Some(format!("declare `${}: [{}]`", variable.name, variable.written));
                report.helped(value.place, format!("{of_type}, and `{{each}}` of a `batch` is a list of values"), help);
            }
            return;
        }
        let fits = match &value.value {
            Json::Null => variable.is_nullable,
            Json::List(_) => variable.is_list || !variable.is_known(),
            Json::Object(_) => !variable.is_known(),
            Json::Bool(_) => matches!(variable.scalar, Scalar::Boolean) || !variable.is_known(),
            Json::Number(number) => match variable.scalar {
                Scalar::Int => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
                Scalar::Float => true,
                Scalar::Boolean => false,
                Scalar::Any => !variable.is_text(),
            },
            Json::Text(_) => true,
        };
        if !fits {
            let written = serde_json::to_string(&value.value).unwrap_or_default();
            report.error(value.place, format!("{of_type}, and this is `{written}`"));
        }
    }
}
