//! Values that references stand for, and what they are in a path, in a header and in JSON.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use frontgate_filters::json::{Mark, Place, Plan, Policy, Proved, Reader};
use frontgate_filters::words::claims::Claim;

/// What a reference stands for.
#[derive(Clone, Debug)]
pub(crate) enum Value<'v> {
    /// A fact of the request, byte by byte: what a client sends need not be text.
    Text(Cow<'v, [u8]>),
    /// A value of JSON.
    Json(Proved),
    /// Values of JSON that one place means, since it led through arrays.
    List(Vec<Proved>),
}

/// Who knows what references stand for. `S` is what a reference became when its template was compiled.
pub(crate) trait Values<S> {
    /// The value; nothing where there is none.
    fn find(&self, source: &S) -> Option<Value<'_>>;
}

/// Why a value has no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoText {
    /// It is null.
    Null,
    /// It is an object, or has one in it, or its text cannot be told.
    None,
}

/// The elements of arrays, however deep.
static ELEMENTS: LazyLock<Arc<Plan>> = LazyLock::new(|| {
    let marks = [Mark { number: 0, place: Place::WHOLE, each: true }];
    let all = Policy::drop(&[]).expect("nothing is a policy");
    Arc::new(Plan::new(&all, &[], &marks).expect("one mark is a plan"))
});

/// A plan that leaves all as it is.
static WHOLE: LazyLock<Arc<Plan>> = LazyLock::new(Arc::default);

/// The plan of texts that are only proved to be one value: made once, since each has to be compiled.
#[cfg(feature = "graphql")]
pub(crate) fn whole() -> Arc<Plan> {
    WHOLE.clone()
}

impl Value<'_> {
    /// Gives the text of the value, or of each element of a list, however deep; those that are null are passed over.
    pub(crate) fn texts(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), NoText> {
        match self {
            Self::Text(text) => {
                each(text);
                Ok(())
            }
            Self::Json(value) if value.is_null() => Err(NoText::Null),
            Self::Json(value) => texts(value, each),
            Self::List(values) => values.iter().filter(|value| !value.is_null()).try_for_each(|value| texts(value, each)),
        }
    }

    /// As JSON; nothing where it is bytes that are no text.
    pub(crate) fn into_json(self) -> Option<Proved> {
        match self {
            Self::Text(text) => std::str::from_utf8(&text).ok().map(string),
            Self::Json(value) => Some(value),
            Self::List(values) => Some(Proved::list(&values)),
        }
    }

    /// Whether it is one value, and null.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Json(value) if value.is_null())
    }
}

/// A string of JSON.
pub(crate) fn string(text: &str) -> Proved {
    Proved::from(&serde_json::Value::from(text))
}

/// The text of a scalar, or those of an array's elements.
fn texts(value: &Proved, each: &mut dyn FnMut(&[u8])) -> Result<(), NoText> {
    match value.first() {
        b'[' => {
            let elements = read(&ELEMENTS, value.to_bytes()).ok_or(NoText::None)?;
            let mut values = elements.found().iter().map(|found| elements.get(found)).filter(|value| !value.is_null());
            values.try_for_each(|value| scalar(&value, each))
        }
        _ => scalar(value, each),
    }
}

fn scalar(value: &Proved, each: &mut dyn FnMut(&[u8])) -> Result<(), NoText> {
    let bytes = value.to_bytes();
    match value.first() {
        b'{' | b'[' => return Err(NoText::None),
        b'"' => match &bytes[1..bytes.len() - 1] {
            plain if !plain.contains(&b'\\') => each(plain),
            // Half of a surrogate pair is right in JSON, and is no text.
            _ => each(serde_json::from_slice::<String>(&bytes).map_err(|_| NoText::None)?.as_bytes()),
        },
        _ => each(&bytes),
    }
    Ok(())
}

/// Reads a text that should be one JSON value.
pub(crate) fn read(plan: &Arc<Plan>, text: Bytes) -> Option<frontgate_filters::json::Document> {
    let mut reader = Reader::new(plan.clone());
    reader.push(text).ok()?;
    reader.finish().ok()
}

/// A claim as JSON: its numbers keep their digits.
pub(crate) fn claim(claim: &Claim) -> Option<Proved> {
    let mut text = String::new();
    print(claim, &mut text);
    read(&WHOLE, text.into()).map(|document| document.whole())
}

/// How deep a claim nests is bounded by who read it.
fn print(claim: &Claim, out: &mut String) {
    match claim {
        Claim::Null => out.push_str("null"),
        Claim::Flag(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Claim::Number(digits) => out.push_str(digits),
        Claim::Text(text) => out.push_str(&serde_json::Value::from(&**text).to_string()),
        Claim::List(list) => {
            out.push('[');
            for (index, item) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                print(item, out);
            }
            out.push(']');
        }
        Claim::Object(members) => {
            out.push('{');
            for (index, (name, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::Value::from(name).to_string());
                out.push(':');
                print(member, out);
            }
            out.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn json(text: &str) -> Value<'static> {
        Value::Json(read(&Arc::default(), Bytes::copy_from_slice(text.as_bytes())).expect(text).whole())
    }

    fn texts_of(value: &Value<'_>) -> Result<Vec<String>, NoText> {
        let mut found = Vec::new();
        value.texts(&mut |text| found.push(String::from_utf8_lossy(text).into_owned())).map(|()| found)
    }

    #[test]
    fn scalars_and_lists_have_texts_and_objects_have_none() {
        for (text, found) in [
            ("42", &["42"][..]),
            ("-1.50E+2", &["-1.50E+2"]),
            ("true", &["true"]),
            (r#""a\"\u00e9\n""#, &["a\"é\n"]),
            (r#""""#, &[""]),
            ("[]", &[]),
            (r#"[1, [2, [null, "x,y"]], false]"#, &["1", "2", "x,y", "false"]),
        ] {
            assert_eq!(texts_of(&json(text)), Ok(found.iter().map(|text| (*text).to_owned()).collect()), "{text}");
        }
        for text in ["{}", "[{}]", r#"[1, [{"a": 1}]]"#, r#""\ud800""#] {
            assert_eq!(texts_of(&json(text)), Err(NoText::None), "{text}");
        }
        assert_eq!(texts_of(&json("null")), Err(NoText::Null));
        let list = Value::List(["1", "null", "[2, 3]"].map(|text| json(text).into_json().expect("JSON")).into());
        assert_eq!(texts_of(&list), Ok(vec!["1".to_owned(), "2".to_owned(), "3".to_owned()]));
        assert_eq!(texts_of(&Value::Text(b"a\xff".as_slice().into())).map(|texts| texts.len()), Ok(1));
    }

    #[test]
    fn facts_become_strings_and_lists_arrays() {
        let bytes = |value: Value<'_>| value.into_json().map(Proved::into_bytes);
        assert_eq!(bytes(Value::Text(b"a\"b".as_slice().into())).as_deref(), Some(&br#""a\"b""#[..]));
        assert_eq!(bytes(Value::Text(b"\xff".as_slice().into())), None);
        assert_eq!(bytes(Value::List(vec![string("a"), Proved::null()])).as_deref(), Some(&br#"["a",null]"#[..]));
    }

    #[test]
    fn claims_keep_their_digits() {
        let claims = json!({"n": 1, "l": [null, true, "é\"", {"a": {}}]});
        let printed = claim(&Claim::from(claims.clone())).expect("JSON").into_bytes();
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&printed).expect("JSON"), claims);
        let long = claim(&Claim::Number("12345678901234567890.10".into())).expect("JSON");
        assert_eq!(long.into_bytes(), "12345678901234567890.10");
    }
}
