//! Where values are found that are to be used elsewhere: a path in which a number picks one element, as in `cart.items.0.id`.

use std::fmt;
use std::str::FromStr;

use super::path::{Path, PathError, Segment};

/// Where values are found in a document. As in a [`Path`] arrays are entered by themselves, but a number in place of a name enters only
/// that one element of an array, counted from 0. In quotes it is a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place(Vec<Step>);

/// One step of a [`Place`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// What a path has, too.
    Segment(Segment),
    /// This element of an array.
    Element(u32),
}

impl Place {
    /// The document itself.
    pub const WHOLE: Self = Self(Vec::new());

    /// The steps from the root; none is the whole document.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The place that these steps lead to.
    pub fn of(steps: impl IntoIterator<Item = Step>) -> Self {
        Self(steps.into_iter().collect())
    }

    /// What is at `inner` of what is at this place.
    pub fn then(&self, inner: &Self) -> Self {
        Self(self.0.iter().chain(&inner.0).cloned().collect())
    }

    /// How many elements are picked on the way.
    pub fn picked(&self) -> usize {
        self.0.iter().filter(|step| matches!(step, Step::Element(_))).count()
    }

    /// The names on the way, of what lies behind this place by `path`; none where there is no name.
    pub fn path(&self, path: Option<&Path>) -> Option<Path> {
        let names = self.0.iter().filter_map(|step| match step {
            Step::Segment(segment) => Some(segment.clone()),
            Step::Element(_) => None,
        });
        Path::of(names.chain(path.into_iter().flat_map(|path| path.segments().iter().cloned())).collect())
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Self(path.segments().iter().cloned().map(Step::Segment).collect())
    }
}

impl FromStr for Place {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let step = |(segment, quoted): (Segment, bool)| match &segment {
            Segment::Name(name) if !quoted && let Some(element) = number(name) => Step::Element(element),
            _ => Step::Segment(segment),
        };
        Ok(Self(Path::read(text)?.into_iter().map(step).collect()))
    }
}

/// Digits as a number is written, without zeros before it.
fn number(name: &str) -> Option<u32> {
    let plain = name == "0" || !name.starts_with('0');
    (plain && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok()).flatten()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            match step {
                Step::Element(element) => write!(f, "{element}")?,
                Step::Segment(Segment::Name(name)) if number(name).is_some() => write!(f, "\"{name}\"")?,
                Step::Segment(segment) => segment.fmt(f)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_an_element_and_in_quotes_a_name() {
        let place: Place = r#"items.0."1".007.99999999999.*"#.parse().expect("a place");
        let name = |text: &str| Step::Segment(Segment::Name(text.to_owned()));
        let expected = [name("items"), Step::Element(0), name("1"), name("007"), name("99999999999"), Step::Segment(Segment::Any)];
        assert_eq!(place.steps(), expected);
    }

    #[test]
    fn places_follow_each_other() {
        let place = |text: &str| text.parse::<Place>().expect("a place");
        let (at, inner) = (place("data.0.items"), place("1.id"));

        assert_eq!(at.then(&inner), place("data.0.items.1.id"));
        assert_eq!((at.picked(), inner.picked(), Place::WHOLE.picked()), (1, 1, 0));
        assert_eq!(at.path(None), Some("data.items".parse().expect("a path")));
        assert_eq!(at.path(Some(&"**.x".parse().expect("a path"))), Some("data.items.**.x".parse().expect("a path")));
        assert_eq!(place("0").path(None), None);
        assert_eq!(Place::of(inner.steps().iter().cloned()), inner);
    }

    #[test]
    fn a_place_prints_as_it_is_read() {
        for text in ["0", "a.0.b", r#"a."0".b"#, "**.x.12", r#""a.b".c"#, "007"] {
            assert_eq!(text.parse::<Place>().expect("a place").to_string(), text);
        }
        assert_eq!(Place::WHOLE.to_string(), "");
    }
}
