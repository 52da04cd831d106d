//! Whether there is more to do than can be done: what is looked at now and then, what the log says of it, and what operators are told.

use std::time::Instant;

use super::Gateway;
use crate::overload::{Known, Measured, Resource, Stage, Turn, words};
use crate::status::{OverloadStatus, UsedStatus};
use crate::telemetry::TurnedAway;
use crate::upstream::timer;

impl Gateway {
    /// Measures what can run short, and acts on it.
    pub(crate) fn look_for_overload(&self) {
        let now = Instant::now();
        let bounds = self.snapshot.load().loaded.config.server.overload;
        match self.overload.look(&bounds, self.metrics.turned_away(), now) {
            Turn::None => {}
            Turn::Worse(stage, why) => {
                let whose = if stage == Stage::First { "low priority" } else { "low and of normal priority" };
                log::warn!("overloaded: {why}; connections are not kept alive, and routes of {whose} are refused");
            }
            Turn::Over(time, refused) => {
                log::info!("no longer overloaded, after {:.1} s in which {refused} requests were refused", time.as_secs_f64());
            }
        }
        let (known, _) = self.overload.known();
        for (resource, known) in Resource::ALL.into_iter().zip(known) {
            self.metrics.overload.set(resource, known.stage);
        }
        if known[..Resource::Lag as usize].iter().any(|known| known.stage > Stage::Calm) {
            // Who does nothing holds some of both.
            timer::end_idle_elsewhere();
        }
    }

    /// What runs short and what does not, for operators.
    pub(super) fn overload_status(&self, now: Instant) -> OverloadStatus {
        let ([memory, descriptors, lag], since) = self.overload.known();
        OverloadStatus {
            stage: self.overload.stage() as u8,
            for_ms: since.map(|since| now.saturating_duration_since(since).as_millis() as u64),
            memory: used(memory),
            descriptors: used(descriptors),
            lag_ms: match lag.measured {
                Some(Measured::Late(late)) => Some(late.as_millis() as u64),
                _ => None,
            },
            lag_stage: lag.stage as u8,
        }
    }

    /// What runs short, a sentence each.
    pub(super) fn overload_troubles(&self) -> impl Iterator<Item = String> {
        let (known, since) = self.overload.known();
        let overloaded = since.map(|_| match words(&known) {
            why if why.is_empty() => "it is about to recover from overload".to_owned(),
            why => format!("it is overloaded: {why}"),
        });
        let away = self.overload.turned_away(Instant::now());
        let away = [(away.descriptors, TurnedAway::Descriptors), (away.places, TurnedAway::Connections)];
        let away = away.into_iter().filter(|(is_so, _)| *is_so).map(|(_, why)| format!("new connections are turned away: {}", why.words()));
        overloaded.into_iter().chain(away)
    }
}

fn used(known: Known) -> Option<UsedStatus> {
    match known.measured {
        Some(Measured::Used { used, most, of }) => Some(UsedStatus { used, most, of: of.to_owned(), stage: known.stage as u8 }),
        _ => None,
    }
}
