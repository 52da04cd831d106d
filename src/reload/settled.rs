//! Waits until files have come to rest: who writes them does so in several steps, and an editor takes a file away before it puts the new one
//! there.

use std::time::{Duration, Instant};

use super::Texts;
use super::seen::Seen;

/// Files are believed when two looks so far apart find the same in them: not everybody who writes one does so at once.
const STEADY: Duration = Duration::from_millis(100);
/// How long one waits for a file that is gone and may come back, as editors make it: whoever edits another one meanwhile waits as well.
const AWAY: Duration = Duration::from_millis(600);
/// How long one waits for files that go on changing, or for a configuration of which nothing is left.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often files are read at once until they hold the same twice: they may be exchanged in the middle of it.
const TRIES: usize = 4;

/// What files hold that are read at once: the same twice, so that a directory that is exchanged meanwhile is not read by halves.
pub(super) fn twice_the_same(read: impl Fn() -> Texts) -> Texts {
    let mut texts = read();
    for _ in 1..TRIES {
        let again = read();
        let is_same = Seen::now(&again, []) == Seen::now(&texts, []);
        texts = again;
        if is_same {
            break;
        }
    }
    texts
}

/// What there is once it has come to rest; nothing where that is what there was before.
pub(super) fn settled<T>(before: &Seen, look: impl Fn() -> (Seen, T)) -> Option<(Seen, T)> {
    let mut found = look();
    let began = Instant::now();
    while found.0 != *before {
        std::thread::sleep(STEADY);
        let again = look();
        let is_steady = again.0 == found.0;
        let waited = began.elapsed();
        let is_whole = !again.0.lacks(before) || !again.0.is_lost() && waited >= AWAY;
        found = again;
        if is_steady && is_whole || waited >= PATIENCE {
            return Some(found).filter(|(now, _)| now != before);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::config::Source;
    use crate::config::diagnostics::Diagnostics;

    /// The files of a directory with their texts.
    fn seen(texts: &[(&str, &str)]) -> Seen {
        let source = |(name, text): &(&str, &str)| Source { name: (*name).to_owned(), text: (*text).to_owned() };
        Seen::now(&Ok(texts.iter().map(source).collect()), [])
    }

    /// A configuration of one file, where it is there.
    fn one(text: Option<&str>) -> Seen {
        match text {
            Some(text) => seen(&[("a.yaml", text)]),
            None => Seen::now(&Err(Diagnostics::default()), []),
        }
    }

    /// Looks that find these one after the other, the last one over and over; and how many there were.
    fn looks(found: Vec<Seen>, looked: &Cell<usize>) -> impl Fn() -> (Seen, ()) {
        move || {
            let at = looked.replace(looked.get() + 1);
            (found[at.min(found.len() - 1)].clone(), ())
        }
    }

    fn settle(before: &Seen, found: Vec<Seen>) -> Option<Seen> {
        settled(before, looks(found, &Cell::new(0))).map(|(now, ())| now)
    }

    #[test]
    fn a_directory_that_is_exchanged_while_it_is_read_is_read_once_more() {
        let texts = |texts: &[(&str, &str)]| {
            let source = |(name, text): &(&str, &str)| Source { name: (*name).to_owned(), text: (*text).to_owned() };
            Ok(texts.iter().map(source).collect())
        };
        let (mixed, new) = (texts(&[("a.yaml", "old"), ("b.yaml", "new")]), texts(&[("a.yaml", "new"), ("b.yaml", "new")]));
        let reads = Cell::new(0);

        for (found, expected, most) in [
            (vec![mixed.clone(), new.clone()], &new, 3),
            (vec![Err(Diagnostics::default()), new.clone()], &new, 3),
            (vec![new.clone()], &new, 2),
            // It has an end.
            ([&mixed, &new].repeat(TRIES).into_iter().cloned().collect(), &new, TRIES),
        ] {
            reads.set(0);
            let read = twice_the_same(|| found[reads.replace(reads.get() + 1).min(found.len() - 1)].clone());
            assert!(Seen::now(&read, []) == Seen::now(expected, []) && reads.get() == most, "{} reads", reads.get());
        }
    }

    #[test]
    fn files_are_believed_when_they_have_come_to_rest() {
        let before = one(Some("old"));

        for (found, settles_to) in [
            (&[Some("old")][..], None),
            (&[Some("new"), Some("new")], Some("new")),
            (&[Some("n"), Some("ne"), Some("new")], Some("new")),
            // An editor that takes the file away first.
            (&[None, None, Some("new")], Some("new")),
            (&[None, Some("old")], None),
            (&[Some("new"), Some("old")], None),
        ] {
            let all = found.iter().map(|text| one(*text)).collect();
            assert_eq!(settle(&before, all), settles_to.map(|text| one(Some(text))), "{found:?}");
        }
    }

    #[test]
    fn a_configuration_that_stays_away_is_believed_in_the_end() {
        let began = Instant::now();

        assert_eq!(settle(&one(Some("old")), vec![one(None)]), Some(one(None)));
        assert!(began.elapsed() >= PATIENCE);
    }

    #[test]
    fn an_edit_waits_for_a_file_that_is_away_but_not_for_long() {
        let before = seen(&[("a.yaml", "old"), ("b.yaml", "b")]);
        let (edited, whole) = (seen(&[("a.yaml", "new")]), seen(&[("a.yaml", "new"), ("b.yaml", "b")]));
        let (began, looked) = (Instant::now(), Cell::new(0));

        assert_eq!(settle(&before, vec![edited.clone(), edited.clone(), whole.clone()]), Some(whole), "it has come back");
        assert_eq!(settled(&before, looks(vec![edited.clone()], &looked)), Some((edited, ())));
        assert!(began.elapsed() >= AWAY);
        let most = AWAY.as_millis().div_ceil(STEADY.as_millis()) as usize + 1;
        assert!(looked.get() <= most && AWAY < Duration::from_secs(1), "{} looks, {most} at most", looked.get());
    }
}
