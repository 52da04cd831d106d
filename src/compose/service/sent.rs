//! What a GraphQL service is sent.

use crate::compose::template::{Json, Resolve};
use crate::config::model;

/// What a call to a GraphQL service takes for an answer, where it does not say so itself.
pub(crate) const ACCEPTS: &str = "application/graphql-response+json, application/json;q=0.9";

/// What a call to a GraphQL service sends.
#[cfg_attr(not(feature = "graphql"), allow(dead_code, reason = "no service is asked so"))]
pub(crate) struct Sent<S> {
    /// The document with its variables.
    pub body: Json<S>,
    /// Whether it changes something: a query can be asked once more, or not at all.
    pub changes: bool,
}

/// What the call sends; nothing where it asks no GraphQL service.
pub(crate) fn sent<S>(call: &model::Call, resolve: &mut Resolve<'_, S>) -> Result<Option<Sent<S>>, String> {
    match &call.query {
        Some(query) => of(query, call.variables.as_ref().map(|variables| &variables.value), resolve).map(Some),
        None => Ok(None),
    }
}

#[cfg(feature = "graphql")]
fn of<S>(query: &str, variables: Option<&Variables>, resolve: &mut Resolve<'_, S>) -> Result<Sent<S>, String> {
    use super::document::{Document, Variable};
    use crate::compose::template::Takes;

    let document = Document::read(query).map_err(|faults| faults.into_iter().map(|fault| fault.message).collect::<Vec<_>>().join("; "))?;
    let document_itself = [("query", &serde_json::Value::from(query))];
    let variables = match variables {
        Some(variables) => serde_json::to_value(variables).map_err(|error| error.to_string())?,
        None => serde_json::Value::Object(serde_json::Map::new()),
    };
    let mut body = Json::beside(&document_itself, VARIABLES, &variables, resolve).map_err(|wrong| wrong.to_string())?;
    let variable = |path: &[Box<str>]| -> Option<&Variable> {
        let [of, name] = path else { return None };
        document.variables.iter().find(|variable| **of == *VARIABLES && variable.name == **name)
    };
    body.takes(&mut |path| {
        let Some(variable) = variable(path) else { return Takes::default() };
        // In a list an element that is missing is null, as in every body.
        let is_whole = variables.get(&variable.name).is_some_and(serde_json::Value::is_string);
        Takes { is_needed: variable.is_required && is_whole, scalar: variable.scalar }
    })?;
    Ok(Sent { body, changes: document.changes })
}

#[cfg(not(feature = "graphql"))]
fn of<S>(_: &str, _: Option<&Variables>, _: &mut Resolve<'_, S>) -> Result<Sent<S>, String> {
    Err("this build asks no GraphQL services: build it with `--features graphql`".to_owned())
}

/// Variables as they are written.
type Variables = model::Ordered<frontgate_filters::words::spanned::Spanned<model::Json>>;

/// The member of what is sent that holds them.
#[cfg(feature = "graphql")]
const VARIABLES: &str = "variables";

/// The operation of a call's document, for people: `query Home`; nothing where the call has none.
pub(crate) fn named(call: &model::Call) -> Option<String> {
    #[cfg(feature = "graphql")]
    return call.query.as_ref().and_then(|query| Some(super::document::Document::read(query).ok()?.operation));
    #[cfg(not(feature = "graphql"))]
    return call.query.as_ref().map(|_| "query".to_owned());
}
