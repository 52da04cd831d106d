//! JSON with values in it: the body of a call, or an answer.

use std::sync::Arc;

use bytes::Bytes;
use frontgate_filters::json::splice::{Item, Member, MemberName, Piece, Template};
use frontgate_filters::json::{Path, Plan, Policy, Proved};
use memchr::memmem::Finder;

use super::scalar::Scalar;
use super::words::Words;
use super::{Missing, Resolve};
use crate::compose::reference::{Reference, Text, Wrong};
use crate::compose::values::{self, Values};

/// JSON with places for values.
#[derive(Clone, Debug)]
pub(crate) struct Json<S> {
    template: Template,
    fillings: Box<[Filling<S>]>,
    /// For each of them, the names that lead to it; arrays are passed over.
    paths: Box<[Box<[Box<str>]>]>,
}

/// How a value stands in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    /// As it is, or its elements or members do.
    Whole,
    /// Within a text.
    InText,
}

/// What a place takes for its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Takes {
    /// Whether nothing can be made of the whole where the value is missing or null.
    pub is_needed: bool,
    /// What a text becomes.
    pub scalar: Scalar,
}

/// What is put into a place.
#[derive(Clone, Debug)]
enum Filling<S> {
    /// The value itself, of whatever type.
    Value { source: S, default: Option<Proved>, takes: Takes },
    /// Text around values.
    Words(Words<S>),
    /// Elements, or members but for those that are named beside them.
    Spread { source: S, beside: Option<Beside> },
}

/// The names beside which members are spread: theirs give way.
#[derive(Clone, Debug)]
struct Beside {
    /// As they stand in a text, with their quotes.
    names: Box<[Finder<'static>]>,
    without: Arc<Plan>,
}

/// What becomes of text around a value that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lacking {
    /// Nothing can be made of it.
    Fails,
    /// It is left out.
    LeftOut,
}

impl<S> Json<S> {
    /// Reads a value whose texts may hold references. The key `...` spreads the members of what it names, one or a list.
    pub(crate) fn compile(value: &serde_json::Value, resolve: &mut Resolve<'_, S>) -> Result<Self, Wrong> {
        let mut reading = Reading { fillings: Vec::new(), paths: Vec::new(), path: Vec::new(), resolve };
        let piece = reading.piece(value)?;
        Ok(Self { template: piece.into(), fillings: reading.fillings.into(), paths: reading.paths.into() })
    }

    /// An object of constants, in which nothing is a reference, and behind them a member whose texts may hold some.
    #[cfg_attr(not(feature = "graphql"), allow(dead_code, reason = "no service is asked so"))]
    pub(crate) fn beside(
        constants: &[(&str, &serde_json::Value)],
        name: &str,
        value: &serde_json::Value,
        resolve: &mut Resolve<'_, S>,
    ) -> Result<Self, Wrong> {
        let mut reading = Reading { fillings: Vec::new(), paths: Vec::new(), path: vec![name.into()], resolve };
        let piece = reading.piece(value)?;
        let named = |name: &str, piece| Member::Named(MemberName::new(name), piece);
        let constants = constants.iter().map(|(name, value)| named(name, Piece::constant(value)));
        let whole = Piece::object(constants.chain([named(name, piece)]).collect());
        Ok(Self { template: whole.into(), fillings: reading.fillings.into(), paths: reading.paths.into() })
    }

    /// Says of each place that is a reference and nothing else what it takes, by the names that lead there.
    #[cfg_attr(not(feature = "graphql"), allow(dead_code, reason = "no service is asked so"))]
    pub(crate) fn takes(&mut self, wanted: &mut dyn FnMut(&[Box<str>]) -> Takes) -> Result<(), String> {
        for (filling, path) in self.fillings.iter_mut().zip(&self.paths) {
            if let Filling::Value { default, takes, .. } = filling {
                *takes = wanted(path);
                if let Some(text) = default.as_ref().and_then(|text| serde_json::from_slice::<String>(&text.to_bytes()).ok()) {
                    let of_text = takes.scalar.of_text(text.as_bytes()).ok_or_else(|| format!("`{text}` is no {}", takes.scalar))?;
                    *default = Some(of_text);
                }
            }
        }
        Ok(())
    }

    /// What its references stand for.
    pub(crate) fn sources<'s>(&'s self, each: &mut dyn FnMut(&'s S)) {
        self.fillings.iter().for_each(|filling| filling.sources(each));
    }

    /// What those of its references stand for without whose values a call fails: those within a text, and those that a place cannot do without.
    pub(crate) fn needed<'s>(&'s self, each: &mut dyn FnMut(&'s S)) {
        for filling in &self.fillings {
            match filling {
                Filling::Words(words) => words.needed(each),
                Filling::Value { source, default: None, takes: Takes { is_needed: true, .. } } => each(source),
                Filling::Value { .. } | Filling::Spread { .. } => {}
            }
        }
    }

    /// What its references stand for, with the names that lead to each place, and how the value stands there.
    pub(crate) fn places<'s>(&'s self, each: &mut dyn FnMut(&'s [Box<str>], Stands, &'s S)) {
        for (filling, path) in self.fillings.iter().zip(&self.paths) {
            let stands = if matches!(filling, Filling::Words(_)) { Stands::InText } else { Stands::Whole };
            filling.sources(&mut |source| each(path, stands, source));
        }
    }

    /// The JSON with all values: where one is missing, a member is left out, and an element is null.
    pub(crate) fn expand(&self, values: &dyn Values<S>, lacking: Lacking) -> Result<Proved, Missing> {
        let fillings = self.fillings.iter().map(|filling| filling.fill(values, lacking)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.template.fill(&fillings))
    }
}

impl<S> Filling<S> {
    fn sources<'s>(&'s self, each: &mut dyn FnMut(&'s S)) {
        match self {
            Self::Value { source, .. } | Self::Spread { source, .. } => each(source),
            Self::Words(words) => words.sources(each),
        }
    }

    fn fill(&self, values: &dyn Values<S>, lacking: Lacking) -> Result<Option<Proved>, Missing> {
        match self {
            Self::Value { source, default, takes } => {
                let found = match values.find(source) {
                    // A fact of the request is text, and what it is meant as the place says.
                    Some(values::Value::Text(text)) if takes.scalar != Scalar::Any => Some(takes.scalar.of_text(&text).ok_or(Missing)?),
                    found => found.filter(|value| default.is_none() || !value.is_null()).and_then(values::Value::into_json),
                };
                match found.or_else(|| default.clone()) {
                    None if takes.is_needed => Err(Missing),
                    Some(value) if takes.is_needed && value.is_null() => Err(Missing),
                    found => Ok(found),
                }
            }
            Self::Words(words) => {
                let text = words.expand(values).and_then(|text| text.ok_or(Missing));
                match (text.and_then(|text| String::from_utf8(text).map_err(|_| Missing)), lacking) {
                    (Ok(text), _) => Ok(Some(values::string(&text))),
                    (Err(Missing), Lacking::Fails) => Err(Missing),
                    (Err(Missing), Lacking::LeftOut) => Ok(None),
                }
            }
            Self::Spread { source, beside } => {
                let value = values.find(source).and_then(values::Value::into_json);
                Ok(match beside {
                    Some(beside) => value.and_then(|value| beside.without(value)),
                    None => value,
                })
            }
        }
    }
}

impl Beside {
    fn new(names: &[&str]) -> Result<Option<Self>, Wrong> {
        if names.is_empty() {
            return Ok(None);
        }
        let wrong = |message: String| Wrong { at: 0, message };
        let path = |name: &&str| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")).parse::<Path>();
        let paths = names.iter().map(path).collect::<Result<Vec<_>, _>>().map_err(|error| wrong(error.to_string()))?;
        let policy = Policy::drop(&paths).map_err(|error| wrong(error.to_string()))?;
        let plan = Plan::new(&policy, &[], &[]).map_err(|error| wrong(error.to_string()))?;
        let names = names.iter().map(|name| Finder::new(serde_json::Value::from(*name).to_string().as_bytes()).into_owned());
        Ok(Some(Self { names: names.collect(), without: Arc::new(plan) }))
    }

    /// The object without the members of these names. It is read once more only where it may have some.
    fn without(&self, value: Proved) -> Option<Proved> {
        if value.first() != b'{' {
            return None;
        }
        let text: Bytes = value.to_bytes();
        let may = memchr::memchr(b'\\', &text).is_some() || self.names.iter().any(|name| name.find(&text).is_some());
        if may { values::read(&self.without, text).map(|document| document.whole()) } else { Some(value) }
    }
}

/// What was read so far.
struct Reading<'r, 'c, S> {
    fillings: Vec<Filling<S>>,
    paths: Vec<Box<[Box<str>]>>,
    /// The names that lead to what is read.
    path: Vec<Box<str>>,
    resolve: &'r mut Resolve<'c, S>,
}

impl<S> Reading<'_, '_, S> {
    fn add(&mut self, filling: Filling<S>) -> usize {
        self.fillings.push(filling);
        self.paths.push(self.path.as_slice().into());
        self.fillings.len() - 1
    }

    fn piece(&mut self, value: &serde_json::Value) -> Result<Piece, Wrong> {
        match value {
            serde_json::Value::String(text) => self.text(text),
            serde_json::Value::Array(elements) => {
                let items = elements.iter().map(|element| self.item(element)).collect::<Result<Vec<_>, _>>()?;
                Ok(Piece::array(items))
            }
            serde_json::Value::Object(members) => self.object(members),
            constant => Ok(Piece::constant(constant)),
        }
    }

    fn text(&mut self, text: &str) -> Result<Piece, Wrong> {
        let read = Text::parse(text)?;
        if let Some(reference) = read.only()
            && !reference.spread
        {
            let default = reference.default.as_deref().map(values::string);
            let source = (self.resolve)(reference)?;
            return Ok(Piece::hole(self.add(Filling::Value { source, default, takes: Takes::default() })));
        }
        if read.references().next().is_none() {
            return Ok(Piece::constant(&read.literal().into()));
        }
        let words = Words::of(&read, self.resolve)?;
        Ok(Piece::hole(self.add(Filling::Words(words))))
    }

    fn item(&mut self, element: &serde_json::Value) -> Result<Item, Wrong> {
        if let serde_json::Value::String(text) = element
            && let Some(reference) = Text::parse(text)?.only().filter(|reference| reference.spread)
        {
            let source = (self.resolve)(reference)?;
            return Ok(Item::Spread(self.add(Filling::Spread { source, beside: None })));
        }
        self.piece(element).map(Item::One)
    }

    fn object(&mut self, written: &serde_json::Map<String, serde_json::Value>) -> Result<Piece, Wrong> {
        let named: Vec<&str> = written.keys().map(String::as_str).filter(|name| *name != "...").collect();
        let mut members = Vec::new();
        for (name, value) in written {
            if name != "..." {
                self.path.push(name.as_str().into());
                let piece = self.piece(value)?;
                self.path.pop();
                members.push(Member::Named(MemberName::new(name), piece));
                continue;
            }
            let names = match value {
                serde_json::Value::String(name) => vec![name.as_str()],
                serde_json::Value::Array(names) if !names.is_empty() && names.iter().all(serde_json::Value::is_string) => {
                    names.iter().filter_map(serde_json::Value::as_str).collect()
                }
                _ => {
                    let message = "`...` spreads what it names: a name, or a list of names".to_owned();
                    return Err(Wrong { at: 0, message });
                }
            };
            for name in names {
                let source = (self.resolve)(&Reference::bare(name)?)?;
                let number = self.add(Filling::Spread { source, beside: Beside::new(&named)? });
                members.push(Member::Spread(number));
            }
        }
        Ok(Piece::object(members))
    }
}
