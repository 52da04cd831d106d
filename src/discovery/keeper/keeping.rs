//! When what is known of an upstream's endpoints is written to disk: soon after it has changed, seldom otherwise.

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The least time between two writes.
const PAUSE: Duration = Duration::from_secs(3);
/// How often it is written although nothing has changed, so that its age is told nearly right after a restart.
const RENEWAL: Duration = Duration::from_secs(600);

#[derive(Default)]
pub(super) struct Keeping {
    folder: Option<PathBuf>,
    due: bool,
    began: Option<Instant>,
    /// Why it could not be written the last time.
    why: Option<String>,
}

impl Keeping {
    /// From now on it is written there, or nowhere.
    pub(super) fn use_folder(&mut self, folder: Option<PathBuf>) {
        if self.folder != folder {
            *self = Self { folder, due: true, ..Self::default() };
        }
    }

    /// What is known has changed.
    pub(super) fn is_due(&mut self) {
        self.due = true;
    }

    /// Where it is to be written at this time, if it is.
    pub(super) fn begin(&mut self, now: Instant) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        let pause = if self.due { PAUSE } else { RENEWAL };
        if self.began.is_some_and(|began| now.saturating_duration_since(began) < pause) || self.began.is_none() && !self.due {
            return None;
        }
        self.began = Some(now);
        self.due = false;
        Some(folder.clone())
    }

    /// It was written, or could not be. Why not, where that is news.
    pub(super) fn ended(&mut self, written: Result<(), String>) -> Option<String> {
        let Err(why) = written else {
            self.why = None;
            return None;
        };
        self.due = true;
        let is_news = self.why.as_ref() != Some(&why);
        self.why = Some(why.clone());
        is_news.then_some(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_written_soon_and_at_most_every_few_seconds() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut keeping = Keeping::default();
        keeping.is_due();
        assert_eq!(keeping.begin(now), None, "nowhere to write to");

        keeping.use_folder(Some("/a".into()));
        assert!(keeping.begin(now).is_some());
        assert_eq!(keeping.ended(Ok(())), None);
        keeping.is_due();
        assert!(keeping.begin(at(2)).is_none() && keeping.begin(at(3)).is_some() && keeping.begin(at(7)).is_none());
        assert!(keeping.begin(at(603)).is_some(), "its age is told nearly right");
    }

    #[test]
    fn what_cannot_be_written_is_tried_again_and_told_once() {
        let now = Instant::now();
        let mut keeping = Keeping::default();
        keeping.use_folder(Some("/a".into()));

        assert!(keeping.begin(now).is_some());
        assert_eq!(keeping.ended(Err("full".to_owned())).as_deref(), Some("full"));
        assert!(keeping.begin(now + PAUSE).is_some());
        assert_eq!(keeping.ended(Err("full".to_owned())), None);
    }
}
