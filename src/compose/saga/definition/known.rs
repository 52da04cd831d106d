//! What is known of a saga, as its templates find it.

use std::sync::Arc;

use bytes::Bytes;

use super::{Definition, Source};
use crate::compose::saga::record::{Id, Record};
use crate::compose::values::{self, Value, Values};

/// What is known of a saga.
pub(super) struct Known<'k> {
    pub definition: &'k Definition,
    pub id: Id,
    pub record: &'k Record,
}

impl Values<Source> for Known<'_> {
    fn find(&self, source: &Source) -> Option<Value<'_>> {
        let json = |text: &String| values::read(&Arc::default(), Bytes::copy_from_slice(text.as_bytes())).map(|document| document.whole());
        match source {
            Source::Fact(number, is_query) => {
                let (name, _) = &self.definition.facts[*number];
                let kept = self.record.facts.get(name)?;
                if *is_query {
                    // It is put in as it came.
                    return Some(Value::Text(serde_json::from_str::<String>(kept).ok()?.into_bytes().into()));
                }
                json(kept).map(Value::Json)
            }
            Source::Part(step, part) => {
                let (name, _) = &self.definition.steps[*step].parts[*part];
                json(self.record.answers.get(step)?.get(name)?).map(Value::Json)
            }
            Source::Saga => Some(Value::Json(values::string(&self.id.to_string()))),
            Source::Key(step) => Some(Value::Json(values::string(&format!("{}-{}", self.id, self.definition.steps[*step].name)))),
        }
    }
}
