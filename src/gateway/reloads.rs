//! The last reloads, for whoever looks at the gateway at night: what came into force when, and what was refused and why.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::changes::first;
use crate::status::{InForce, ReloadStatus, Reloaded};

/// How many are remembered.
const REMEMBERED: usize = 10;
/// How many changes of each.
const CHANGES: usize = 20;

/// The last of them, and how long there have been any.
pub(crate) struct Reloads {
    began: Instant,
    began_at: SystemTime,
    recent: Mutex<VecDeque<ReloadStatus>>,
}

impl Reloads {
    /// The gateway begins now, under a configuration of this hash.
    pub(super) fn begin(hash: &str) -> Self {
        let reloads = Self { began: Instant::now(), began_at: SystemTime::now(), recent: Mutex::default() };
        reloads.push(Some(hash.to_owned()), vec!["the gateway started".to_owned()], None);
        reloads
    }

    /// A configuration came into force.
    pub(super) fn accepted(&self, reloaded: &Reloaded) {
        self.push(Some(reloaded.hash.clone()), first(reloaded.changed.clone(), CHANGES), None);
    }

    /// How the one that came into force last came to be so.
    pub(super) fn came(&self, how: &InForce) {
        if let Some(last) = self.recent.lock().iter_mut().rev().find(|reload| reload.config.is_some()) {
            (last.how, last.who) = (Some(how.how.clone()), how.who.clone());
        }
    }

    /// A configuration was refused. One that is refused again and again, as it is looked at again, is told once.
    pub(super) fn refused(&self, why: &str) {
        if self.recent.lock().back().is_none_or(|last| last.why.as_deref() != Some(why)) {
            self.push(None, Vec::new(), Some(why.to_owned()));
        }
    }

    /// The newest first.
    pub(crate) fn recent(&self) -> Vec<ReloadStatus> {
        self.recent.lock().iter().rev().cloned().collect()
    }

    /// When the gateway began, in milliseconds since 1970, and how long ago that is.
    pub(crate) fn began(&self) -> (u64, Duration) {
        (millis(self.began_at), self.began.elapsed())
    }

    fn push(&self, config: Option<String>, changed: Vec<String>, why: Option<String>) {
        let mut recent = self.recent.lock();
        if recent.len() == REMEMBERED {
            recent.pop_front();
        }
        recent.push_back(ReloadStatus { at_ms: millis(SystemTime::now()), config, changed, how: None, who: None, why });
    }
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_told_newest_first_and_in_few_words() {
        let reloads = Reloads::begin("first");
        for number in 0..REMEMBERED {
            (0..3).for_each(|_| reloads.refused(&format!("mistake {number}")));
        }
        let changed = (0..CHANGES + 5).map(|number| format!("the route `{number}` is new")).collect();
        reloads.accepted(&Reloaded { hash: "second".to_owned(), changed, warnings: Vec::new() });

        reloads.came(&InForce { how: "admin".to_owned(), who: Some("127.0.0.1".to_owned()), ..InForce::default() });

        let recent = reloads.recent();

        assert_eq!((recent[0].how.as_deref(), recent[0].who.as_deref()), (Some("admin"), Some("127.0.0.1")));
        assert_eq!(recent.len(), REMEMBERED);
        assert_eq!((recent[0].config.as_deref(), recent[0].changed.len()), (Some("second"), CHANGES + 1));
        assert_eq!(recent[0].changed.last().map(String::as_str), Some("and 5 more"));
        assert_eq!((recent[1].why.as_deref(), recent[9].why.as_deref()), (Some("mistake 9"), Some("mistake 1")));
    }
}
