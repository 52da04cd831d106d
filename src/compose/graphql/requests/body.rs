//! A request as a body writes it, read where it lies: nothing of it is copied that has no escapes, and its variables are looked into only by
//! who knows of which types they are.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{Asked, Wrong, asked};
use crate::compose::graphql::raw::{self, Range};
use crate::telemetry::GraphqlRefusal;

/// How deep variables may nest: whoever reads them goes down into them.
const MOST_NESTED: usize = 126;

/// What stands at a place where there should be a text, or an object.
#[derive(Debug, Default)]
pub(super) enum Said<'r> {
    /// Nothing, or null.
    #[default]
    Nothing,
    Text(Cow<'r, str>),
    Object,
    Other,
}

/// The members of a body. Others say nothing.
#[derive(Default, serde::Deserialize)]
struct Written<'r> {
    #[serde(default, borrow)]
    query: Said<'r>,
    #[serde(default, borrow, rename = "operationName")]
    operation: Said<'r>,
    #[serde(default, borrow)]
    variables: Said<'r>,
    #[serde(default)]
    extensions: Option<Value>,
    #[serde(default, borrow, rename = "documentId")]
    id: Said<'r>,
}

impl<'r> Said<'r> {
    fn text(self, wrong: &'static str) -> Result<Option<Cow<'r, str>>, Wrong> {
        match self {
            Self::Nothing => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            Self::Object | Self::Other => Err(Wrong::malformed(wrong)),
        }
    }

    /// Whether there are variables.
    pub(super) fn is_object(&self) -> Result<bool, Wrong> {
        match self {
            Self::Nothing => Ok(false),
            Self::Object => Ok(true),
            Self::Text(_) | Self::Other => Err(Wrong::malformed("`variables` is an object or null.")),
        }
    }
}

impl<'de: 'r, 'r> Deserialize<'de> for Said<'r> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Saying)
    }
}

struct Saying;

impl<'de> Visitor<'de> for Saying {
    type Value = Said<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Said<'de>, E> {
        Ok(Said::Nothing)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Said<'de>, E> {
        Ok(Said::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Said<'de>, E> {
        Ok(Said::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Said<'de>, E> {
        Ok(Said::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Said<'de>, E> {
        Ok(Said::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Said<'de>, E> {
        Ok(Said::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Said<'de>, E> {
        Ok(Said::Other)
    }

    // What is in lists and objects is passed over without climbing down into it.
    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Said<'de>, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Said::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Said<'de>, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Said::Object)
    }
}

/// What a body asks for.
pub(super) fn of_json(body: &[u8]) -> Result<Asked<'_>, Wrong> {
    let body = body.trim_ascii_start();
    if body.first() == Some(&b'[') {
        let message = "Several requests in one are not taken: send one at a time, or one document with all that is asked for.";
        return Err(Wrong { counts: GraphqlRefusal::Batch, message });
    }
    if body.first() != Some(&b'{') {
        return Err(Wrong::malformed("The body is a JSON object with a `query`."));
    }
    let text = std::str::from_utf8(body).map_err(|_| Wrong::malformed("The body is not UTF-8."))?;
    let written: Written<'_> = serde_json::from_str(text).map_err(|error| match error.is_data() {
        true => Wrong::malformed("A member of the body stands there twice."),
        false => Wrong::malformed("The body is not JSON, or is nested too deep."),
    })?;
    let document = written.query.text("`query` is a text.")?;
    let id = written.id.text("`documentId` is a text.")?;
    let operation = written.operation.text("`operationName` is a text or null.")?;
    let variables = match written.variables.is_object()? {
        // All of the body was found to be JSON, and this name to stand there once.
        true => raw::members(body, Range::whole(body)).find(|(name, _)| raw::is_named(name, b"variables")).map(|(_, range)| range.of(body)),
        false => None,
    };
    if variables.is_some_and(is_too_deep) {
        return Err(Wrong::malformed("The body is not JSON, or is nested too deep."));
    }
    asked(document, id, operation, variables.map(Cow::Borrowed), written.extensions)
}

/// Whether a value nests deeper than anybody may go down into it.
pub(super) fn is_too_deep(json: &[u8]) -> bool {
    if json.len() <= MOST_NESTED {
        return false;
    }
    let (mut open, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            b'{' | b'[' if !is_text => {
                open += 1;
                if open > MOST_NESTED {
                    return true;
                }
            }
            b'}' | b']' if !is_text => open -= 1,
            _ => {}
        }
    }
    false
}
