//! What operators are told of an upstream's sources.

use std::time::Instant;

use super::Keeper;
use crate::status::{DiscoveryStatus, SourceState, SourceStatus};

impl Keeper {
    /// Each source with its state, for operators.
    pub(crate) fn status(&self, now: Instant) -> DiscoveryStatus {
        let sources = self.each(|asked| SourceStatus {
            source: asked.source.to_string(),
            state: match (asked.answers, &asked.why, asked.judge.len(), asked.judge.doubted()) {
                (false, _, 0, _) => SourceState::Waiting,
                (false, ..) => SourceState::Warm,
                (true, Some(failed), ..) if failed.is_invalid => SourceState::Invalid,
                (true, Some(_), ..) => SourceState::Away,
                (true, None, _, 0) => SourceState::Current,
                (true, None, ..) => SourceState::Doubtful,
            },
            age_seconds: asked.as_of.now(now).as_secs(),
            endpoints: asked.judge.len(),
            held: asked.judge.doubted(),
            why: asked.why.as_ref().map(|failed| failed.why.clone()),
        });
        DiscoveryStatus { sources }
    }
}
