//! What can be written under `trim`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::json::{OnMalformed, Path, Policy};
use crate::words::selector::Selector;
use crate::words::spanned::{Problem, Spanned};

/// The options of `trim`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What chooses the profile; by default the class of the client's device.
    #[serde(default = "Config::device")]
    pub by: Spanned<Selector>,
    /// What is removed or kept, by the value of `by`.
    pub profiles: BTreeMap<String, Spanned<Profile>>,
    /// What applies to every other value, and to requests without one.
    #[serde(default)]
    pub otherwise: Spanned<Otherwise>,
    /// Where a client may list the fields that it wants, as paths separated by commas; the list narrows the profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Spanned<Selector>>,
    /// What to do with an answer that is not valid JSON; by default `pass` for `drop`, always `abort` for `keep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_malformed: Option<Spanned<Malformed>>,
}

impl Config {
    fn device() -> Spanned<Selector> {
        Spanned::nowhere(Selector::Device)
    }
}

/// What one class of clients gets.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// These members are removed.
    Drop(Vec<Spanned<Member>>),
    /// These members are kept, with what leads to them, and nothing else.
    Keep(Vec<Spanned<Member>>),
}

/// What clients get that no profile applies to.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// Everything.
    #[default]
    Pass,
    /// These members are removed.
    Drop(Vec<Spanned<Member>>),
    /// These members are kept, with what leads to them, and nothing else.
    Keep(Vec<Spanned<Member>>),
}

/// What to do with an answer that is not valid JSON.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Malformed {
    /// Pass on the rest as it is; not possible with `keep`, since it would show what is hidden.
    Pass,
    /// Break it off.
    Abort,
}

/// A path into the answer's JSON: `items.images.hd`, `**.debug`, `"a.b".c`.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    text: String,
    /// The compiled path.
    pub path: Path,
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let path = text.parse::<Path>().map_err(|error| {
            serde::de::Error::custom(format!("`{text}` is not a path: {} (at its byte {})", error.message, error.at + 1))
        })?;
        Ok(Self { text, path })
    }
}

impl Serialize for Member {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl JsonSchema for Member {
    fn schema_name() -> Cow<'static, str> {
        "Member".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "A path into the answer's JSON: names and dots, `*` for any one name, `**` for any depth."})
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The policy of a list, and whether what it hides is hidden for good.
pub(super) enum Rule<'c> {
    Drop(&'c [Spanned<Member>]),
    Keep(&'c [Spanned<Member>]),
}

impl Rule<'_> {
    /// Compiles it.
    pub(super) fn policy(&self) -> Result<Policy, String> {
        let paths = |members: &[Spanned<Member>]| members.iter().map(|member| member.path.clone()).collect::<Vec<_>>();
        match self {
            Rule::Drop(members) => Policy::drop(&paths(members)),
            Rule::Keep(members) => Policy::keep(&paths(members)),
        }
        .map_err(|error| error.to_string())
    }

    pub(super) fn hides(&self) -> bool {
        matches!(self, Rule::Keep(_))
    }
}

impl Profile {
    pub(super) fn rule(&self) -> Rule<'_> {
        match self {
            Self::Drop(members) => Rule::Drop(members),
            Self::Keep(members) => Rule::Keep(members),
        }
    }
}

impl Otherwise {
    pub(super) fn rule(&self) -> Option<Rule<'_>> {
        match self {
            Self::Pass => None,
            Self::Drop(members) => Some(Rule::Drop(members)),
            Self::Keep(members) => Some(Rule::Keep(members)),
        }
    }
}

impl Config {
    /// What becomes of a malformed answer under a rule.
    pub(super) fn on_malformed(&self, hides: bool) -> OnMalformed {
        match (&self.on_malformed, hides) {
            (Some(chosen), _) if chosen.value == Malformed::Abort => OnMalformed::Abort,
            (Some(_), _) | (None, false) => OnMalformed::Pass,
            (None, true) => OnMalformed::Abort,
        }
    }

    /// Everything that is wrong.
    /// What becomes of malformed answers where all profiles do the same with them.
    pub(super) fn complete(&self, written: &mut serde_json::Map<String, serde_json::Value>) {
        let rules = self.profiles.values().map(|profile| profile.rule()).chain(self.otherwise.rule());
        let mut hiding = rules.map(|rule| rule.hides()).chain(self.fields.as_ref().map(|_| true));
        if let Some(hides) = hiding.next()
            && hiding.all(|other| other == hides)
        {
            let word = if self.on_malformed(hides) == OnMalformed::Abort { "abort" } else { "pass" };
            written.entry("on_malformed").or_insert_with(|| word.into());
        }
    }

    pub(super) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.profiles.is_empty() && self.otherwise.rule().is_none() && self.fields.is_none() {
            problems.push(Problem::lacking(self.by.place, "this `trim` does nothing: set `profiles`, `otherwise` or `fields`"));
        }
        let profiles = self.profiles.values().map(|profile| (profile.place, profile.rule()));
        let otherwise = self.otherwise.rule().map(|rule| (self.otherwise.place, rule));
        for (place, rule) in profiles.chain(otherwise) {
            let (Rule::Drop(members) | Rule::Keep(members)) = &rule;
            if members.is_empty() {
                problems.push(Problem::lacking(place, "the list is empty: name at least one member"));
            } else if let Err(why) = rule.policy() {
                problems.push(Problem::at(place, why));
            }
            if let (true, Some(chosen)) = (rule.hides(), &self.on_malformed)
                && chosen.value == Malformed::Pass
            {
                problems.push(Problem::at(
                    chosen.place,
                    "`pass` together with `keep` would show what is hidden: leave it out, or write `abort`",
                ));
            }
        }
        problems
    }
}
