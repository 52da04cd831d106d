//! The rules of a drill, and which of them a point falls to.
//!
//! The shares cut the interval from 0 to 1 in the order of the rules, so that together they hit no more than their sum, and each hits as many as
//! it says whatever the others say.

use std::fmt;

use super::config::{Answer, At, Config, Delay};
use crate::words::units::Share;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Its answer comes later.
    Delay(Delay),
    /// This is its answer.
    Abort(Answer),
}

impl Act {
    /// The keys of all kinds, as they are written.
    pub const KINDS: [&str; 2] = ["delay", "abort"];

    /// Which of [`Act::KINDS`] it is.
    pub(super) fn kind(self) -> usize {
        match self {
            Self::Delay(_) => 0,
            Self::Abort(_) => 1,
        }
    }

    /// Whether it can happen to such a request: what is for gRPC happens to calls alone.
    fn suits(self, is_call: bool) -> bool {
        !matches!(self, Self::Abort(Answer::Grpc(_))) || is_call
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", Self::KINDS[self.kind()])?;
        match self {
            Self::Delay(delay) => write!(f, "{delay}"),
            Self::Abort(answer) => write!(f, "{answer}"),
        }
    }
}

/// A rule, ready for requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rule {
    pub act: Act,
    pub at: At,
    /// Its points begin here, and end before the next.
    pub from: f64,
    pub below: f64,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = match self.at {
            At::Upstream => "upstream",
            At::Client => "client",
        };
        let share = ((self.below - self.from) * 1e12).round() / 1e12;
        write!(f, "{} for {} at the {at}", self.act, Share(share))
    }
}

/// What happens to one attempt, or to one request: at most one fault of either sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The answer comes later by this.
    pub delay: Option<std::time::Duration>,
    /// Something else than a delay.
    pub act: Option<Act>,
}

impl Plan {
    /// Whether nothing happens.
    pub fn is_none(self) -> bool {
        self.delay.is_none() && self.act.is_none()
    }

    /// The same with this, where nothing of its sort is there; `point` says how long a delay is.
    pub(super) fn with(self, act: Act, point: f64) -> Self {
        match act {
            Act::Delay(delay) => Self { delay: self.delay.or_else(|| Some(delay.at(point))), ..self },
            act => Self { act: self.act.or(Some(act)), ..self },
        }
    }

    /// The kinds that happen.
    pub(super) fn kinds(self) -> impl Iterator<Item = usize> {
        self.delay.map(|_| 0).into_iter().chain(self.act.map(Act::kind))
    }
}

/// All rules in their order.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub all: Box<[Rule]>,
    /// Where the points end that hit something.
    pub total: f64,
}

impl Rules {
    pub fn new(config: &Config) -> Self {
        let mut total = 0.0;
        let rule = |written: &super::config::Rule| {
            let act = written.acts().first().copied()?;
            let from = total;
            total += written.share.0;
            Some(Rule { act, at: written.at.value, from, below: total })
        };
        let all = config.rules.iter().map(|rule| &rule.value).filter_map(rule).collect();
        Self { all, total }
    }

    /// The rule that takes this point, which is at least 0 and below 1.
    pub fn taking(&self, point: f64) -> Option<&Rule> {
        if point >= self.total {
            return None;
        }
        self.all.iter().find(|rule| point < rule.below)
    }

    /// What happens at this side to whoever has this point.
    pub fn plan(&self, point: f64, at: At, is_call: bool) -> Plan {
        let taking = self.taking(point).filter(|rule| rule.at == at && rule.act.suits(is_call));
        // Where in its rule's share the point lies is as much by chance as the point itself.
        taking.map_or_else(Plan::default, |rule| Plan::default().with(rule.act, (point - rule.from) / (rule.below - rule.from)))
    }

    /// Whether a rule has faults of this kind.
    pub fn has(&self, kind: usize) -> bool {
        self.all.iter().any(|rule| rule.act.kind() == kind)
    }
}
