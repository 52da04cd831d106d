//! Marks on all that is referred to in one text, each place once.

use std::sync::Arc;

use frontgate_filters::json::path::Segment;
use frontgate_filters::json::place::Step;
use frontgate_filters::json::{Mark, Path, Place, Plan, Policy};

use super::super::source::Spot;
use super::super::{At, Names};
use super::names::Renames;

/// The marks on an answer or a body, while they are collected.
#[derive(Default)]
pub(super) struct Marks {
    /// Where the part that counts is; marks are told from there on.
    at: Place,
    renames: Renames,
    marks: Vec<Mark>,
}

impl Marks {
    /// Of an answer of which this part counts. Where that is not all of it, it has a mark.
    pub(super) fn new(at: Place, renames: Renames) -> Result<Self, String> {
        let mut marks = Self { at, renames, marks: Vec::new() };
        if !marks.at.steps().is_empty() {
            marks.add(&Place::WHOLE, false)?;
        }
        Ok(marks)
    }

    /// The part that counts, where that is not all of it.
    pub(super) fn at(&self) -> Option<At> {
        (!self.at.steps().is_empty()).then(|| At { mark: 0, picked: self.at.picked() })
    }

    /// A mark on what is at this place of the part that counts, by the names that it has in the end.
    pub(super) fn add(&mut self, place: &Place, each: bool) -> Result<u16, String> {
        let inner = self.renames.own(place)?;
        let place = self.at.then(&inner);
        if let Some(mark) = self.marks.iter().find(|mark| mark.place == place && mark.each == each) {
            return Ok(mark.number);
        }
        let number = u16::try_from(self.marks.len()).map_err(|_| "there are too many references to one answer".to_owned())?;
        self.marks.push(Mark { number, place, each });
        Ok(number)
    }

    /// Where the value of a reference is.
    pub(super) fn spot(&mut self, place: &Place) -> Result<Spot, String> {
        if place.steps().is_empty() {
            return Ok(Spot { names: Box::default(), mark: None, picked: 0, way: None });
        }
        Ok(Spot { names: names(place), mark: Some(self.add(place, false)?), picked: place.picked(), way: way(place, false)? })
    }

    /// The plan by which a text is read, with this policy from the part that counts on.
    pub(super) fn plan(&self, keep: Option<&[Path]>, drop: Option<&[Path]>) -> Result<Arc<Plan>, String> {
        let said = |error: frontgate_filters::json::PolicyError| error.to_string();
        let behind = |paths: &[Path]| paths.iter().filter_map(|path| self.at.path(Some(path))).collect::<Vec<_>>();
        let policy = match (keep, drop) {
            (Some(keep), _) => Policy::keep(&behind(keep)),
            (None, drop) => Policy::drop(&behind(drop.unwrap_or_default())),
        };
        let mut policy = policy.map_err(said)?;
        if let Some(at) = self.at.path(None) {
            policy = policy.intersect(&Policy::keep(&[at]).map_err(said)?).map_err(said)?;
        }
        let taken = behind(&self.renames.give_way());
        if !taken.is_empty() {
            policy = policy.intersect(&Policy::drop(&taken).map_err(said)?).map_err(said)?;
        }
        let renames = self.renames.behind(&self.at);
        let plan = Plan::new(&policy, &renames, &self.marks).map_err(said)?;
        Ok(Arc::new(plan))
    }

    /// The plan by which a text is read that is already as it is in the end.
    pub(super) fn plain_plan(&self) -> Result<Arc<Plan>, String> {
        let said = |error: frontgate_filters::json::PolicyError| error.to_string();
        let shown = |mark: &Mark| Mark { place: self.renames.shown(&self.at, &mark.place), ..mark.clone() };
        let marks: Vec<Mark> = self.marks.iter().map(shown).collect();
        Plan::new(&Policy::drop(&[]).map_err(said)?, &[], &marks).map(Arc::new).map_err(said)
    }
}

/// The names on the way to a place.
pub(super) fn names(place: &Place) -> Names {
    let name = |step: &Step| match step {
        Step::Segment(Segment::Name(name)) => Some(name.as_str().into()),
        _ => None,
    };
    place.steps().iter().filter_map(name).collect()
}

/// Marks all places on the way from which no single element is picked, and the place itself where that counts as one.
pub(super) fn way(place: &Place, itself: bool) -> Result<Option<Arc<Plan>>, String> {
    let steps = place.steps();
    let passed = (0..=steps.len()).filter(|&length| steps.get(length).map_or(itself, |step| matches!(step, Step::Segment(_))));
    let marks: Vec<Mark> =
        passed.map(|length| Mark { number: 0, place: Place::of(steps[..length].iter().cloned()), each: false }).collect();
    if marks.is_empty() {
        return Ok(None);
    }
    let said = |error: frontgate_filters::json::PolicyError| error.to_string();
    Plan::new(&Policy::drop(&[]).map_err(said)?, &[], &marks).map(|plan| Some(Arc::new(plan))).map_err(said)
}
