//! New names of members: references speak of them, marks of those that the text has.

use frontgate_filters::json::path::Segment;
use frontgate_filters::json::place::Step;
use frontgate_filters::json::{Path, Place};

/// New names by paths, from the part of an answer that counts on.
#[derive(Default)]
pub(super) struct Renames(Vec<(Path, String)>);

impl Renames {
    pub(super) fn new(renames: Vec<(Path, String)>) -> Self {
        Self(renames)
    }

    /// The same from the beginning of a text on.
    pub(super) fn behind(&self, at: &Place) -> Vec<(Path, String)> {
        self.0.iter().filter_map(|(path, name)| Some((at.path(Some(path))?, name.clone()))).collect()
    }

    /// The members that give way: those that have a new name already, and do not get another one.
    pub(super) fn give_way(&self) -> Vec<Path> {
        let gives_way = |(path, new): &(Path, String)| {
            let (_, before) = path.segments().split_last()?;
            let taken: Vec<Segment> = before.iter().cloned().chain([Segment::Name(new.clone())]).collect();
            let gets_another = self.0.iter().any(|(other, _)| other.segments() == taken);
            if gets_another { None } else { Place::of(taken.into_iter().map(Step::Segment).collect::<Vec<_>>()).path(None) }
        };
        self.0.iter().filter_map(gives_way).collect()
    }

    /// The place by the names of the text.
    pub(super) fn own(&self, place: &Place) -> Result<Place, String> {
        let (mut steps, mut names) = (Vec::new(), Vec::new());
        for step in place.steps() {
            let Step::Segment(Segment::Name(name)) = step else {
                steps.push(step.clone());
                continue;
            };
            let own = self.0.iter().find_map(|(path, new)| {
                let (last, before) = path.segments().split_last()?;
                match last {
                    Segment::Name(own) if new == name && matches(before, &names) => Some(own.clone()),
                    _ => None,
                }
            });
            if own.is_none() && self.of(&names, name).is_some() {
                return Err(format!("`{place}` speaks of `{name}`, which gets another name"));
            }
            let own = own.unwrap_or_else(|| name.clone());
            steps.push(Step::Segment(Segment::Name(own.clone())));
            names.push(own);
        }
        Ok(Place::of(steps))
    }

    /// A place of the whole text, by the names that members have in the end, from the part that counts on.
    pub(super) fn shown(&self, at: &Place, place: &Place) -> Place {
        let mut names = Vec::new();
        let steps = place.steps().iter().skip(at.steps().len()).map(|step| match step {
            Step::Segment(Segment::Name(name)) => {
                let shown = self.of(&names, name).unwrap_or(name).to_owned();
                names.push(name.clone());
                Step::Segment(Segment::Name(shown))
            }
            other => other.clone(),
        });
        Place::of(steps.collect::<Vec<_>>())
    }

    /// The new name of the member of this name of what these names lead to.
    fn of(&self, before: &[String], name: &str) -> Option<&str> {
        self.0.iter().find_map(|(path, new)| {
            let (last, way) = path.segments().split_last()?;
            (matches!(last, Segment::Name(own) if own == name) && matches(way, before)).then_some(new.as_str())
        })
    }
}

/// Whether a path leads along these names.
fn matches(path: &[Segment], names: &[String]) -> bool {
    match (path.split_first(), names.split_first()) {
        (None, None) => true,
        (Some((Segment::Deep, rest)), None) => matches(rest, names),
        (Some((Segment::Deep, rest)), Some((_, behind))) => matches(rest, names) || matches(path, behind),
        (Some((Segment::Any, rest)), Some((_, behind))) => matches(rest, behind),
        (Some((Segment::Name(own), rest)), Some((name, behind))) => own == name && matches(rest, behind),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renames(written: &[(&str, &str)]) -> Renames {
        Renames::new(written.iter().map(|(path, name)| (path.parse().expect("a path"), (*name).to_owned())).collect())
    }

    fn place(text: &str) -> Place {
        text.parse().expect("a place")
    }

    #[test]
    fn references_speak_of_new_names_and_marks_of_old_ones() {
        let renames = renames(&[("date", "created_at"), ("a", "b"), ("a.x", "y"), ("*.deep.k", "key"), ("**.z", "zed")]);
        for (shown, own) in [
            ("created_at", "date"),
            ("other.0.date", "other.0.date"),
            ("b.y.0", "a.x.0"),
            ("b.1.y", "a.1.x"),
            ("q.deep.key", "q.deep.k"),
            ("zed", "z"),
            ("m.n.zed.zed", "m.n.z.z"),
        ] {
            assert_eq!(renames.own(&place(shown)), Ok(place(own)), "{shown}");
            let (at, inner) = (place("data.0"), place(own));
            assert_eq!(renames.shown(&at, &at.then(&inner)), place(shown), "{own}");
        }
        for gone in ["date", "a", "b.x", "q.deep.k", "u.z"] {
            assert!(renames.own(&place(gone)).is_err(), "{gone}");
        }
    }
}
