//! Answers by method and status, and how many series they may come to: clients choose methods and upstreams choose statuses, so that what is
//! counted apart has a bound.
//!
//! The first [`OF_ONE`] pairs of method and status of a route are counted apart, as long as there are no more than [`OF_ALL`] of all routes. What
//! comes after them counts with its method under [`OTHER`], and is counted as folded.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use http::Method;

use super::scrape::Scrape;

/// How many series of answers a route may have, or a version of one, beside one of each method.
pub(crate) const OF_ONE: usize = 64;
/// How many all of them may have.
pub(crate) const OF_ALL: usize = 50_000;

/// The methods told apart; anyone can send others, so they share the last label.
pub(super) const METHODS: [&str; 10] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", OTHER];
/// What has no label of its own.
pub(super) const OTHER: &str = "_OTHER";

/// The place of a method in [`METHODS`].
pub(super) fn method_index(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::DELETE => 4,
        Method::CONNECT => 5,
        Method::OPTIONS => 6,
        Method::TRACE => 7,
        Method::PATCH => 8,
        _ => METHODS.len() - 1,
    }
}

/// In which family answers are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// `requests_total`.
    Requests,
    /// `canary_requests_total`.
    Versions,
}

/// The series of answers there are, of all routes and versions.
#[derive(Default)]
pub(super) struct Series {
    taken: AtomicUsize,
    folded: [AtomicU64; 2],
}

impl Series {
    /// Takes place for so many series at once, whose labels are a configuration's; none where there is not enough.
    pub(super) fn reserve(self: &Arc<Self>, count: usize) -> Option<Reserved> {
        let fits = |taken: usize| (taken + count <= OF_ALL).then_some(taken + count);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Reserved { all: self.clone(), count })
    }

    /// Adds how many answers were folded.
    pub(super) fn scrape(&self, scrape: &mut Scrape) {
        let help = "Answers that were counted under the code `_OTHER` since there were as many series as there may be.";
        for (metric, folded) in [("requests_total", &self.folded[0]), ("canary_requests_total", &self.folded[1])] {
            scrape.counter("frontgate_series_folded_total", help, &[("metric", metric)], folded.load(Ordering::Relaxed) as f64);
        }
    }
}

/// Series that are reserved, until this is dropped.
pub(super) struct Reserved {
    all: Arc<Series>,
    count: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.all.taken.fetch_sub(self.count, Ordering::Relaxed);
    }
}

/// The room for the series of one route or version. It is given back with it.
pub(super) struct Room {
    all: Arc<Series>,
    counted: Counted,
    taken: AtomicUsize,
}

impl Room {
    /// A room of which nothing is taken.
    pub(super) fn new(all: &Arc<Series>, counted: Counted) -> Self {
        Self { all: all.clone(), counted, taken: AtomicUsize::new(0) }
    }

    /// Takes place for one series; false where there is none.
    ///
    /// Two threads that meet a status for the first time may take two places for it, which makes the bound a little tighter and never wider.
    #[cold]
    fn take(&self) -> bool {
        let below = |most: usize| move |taken: usize| (taken < most).then_some(taken + 1);
        if self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below(OF_ONE)).is_err() {
            return false;
        }
        let took = self.all.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below(OF_ALL)).is_ok();
        if !took {
            self.taken.fetch_sub(1, Ordering::Relaxed);
        }
        took
    }

    /// The series that it is a part of.
    pub(super) fn series(&self) -> &Arc<Series> {
        &self.all
    }

    #[cold]
    fn fold(&self) {
        self.all.folded[self.counted as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.all.taken.fetch_sub(*self.taken.get_mut(), Ordering::Relaxed);
    }
}

/// The answers to one method, by status. A class takes its 800 bytes when it first occurs: a route sees few of the fifty there
/// are.
#[derive(Default)]
pub(super) struct Answers {
    classes: [OnceLock<Box<Class>>; 5],
    other: AtomicU64,
}

/// One class of statuses, such as 200 to 299.
type Class = [AtomicU64; 100];

impl Answers {
    /// Counts an answer of this status.
    pub(super) fn count(&self, status: u16, room: &Room) {
        let (class, code) = (usize::from(status / 100), usize::from(status % 100));
        let Some(class) = class.checked_sub(1).and_then(|class| self.classes.get(class)) else {
            self.other.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let known = class.get();
        if known.is_none_or(|class| class[code].load(Ordering::Relaxed) == 0) && !room.take() {
            self.other.fetch_add(1, Ordering::Relaxed);
            return room.fold();
        }
        known.unwrap_or_else(|| class.get_or_init(|| Box::new([const { AtomicU64::new(0) }; 100])))[code].fetch_add(1, Ordering::Relaxed);
    }

    /// Calls `each` with every status that occurred, as a label, and how often it did.
    pub(super) fn each(&self, mut each: impl FnMut(&str, u64)) {
        for (index, class) in self.classes.iter().enumerate() {
            for (code, counter) in class.get().into_iter().flat_map(|class| class.iter()).enumerate() {
                let count = counter.load(Ordering::Relaxed);
                if count > 0 {
                    each(&((index + 1) * 100 + code).to_string(), count);
                }
            }
        }
        let other = self.other.load(Ordering::Relaxed);
        if other > 0 {
            each(OTHER, other);
        }
    }

    /// How many there were of each class, 1xx to 5xx, and of all others.
    pub(super) fn by_class(&self) -> [u64; 6] {
        let mut counts = [0; 6];
        for (count, class) in counts.iter_mut().zip(&self.classes) {
            *count = class.get().into_iter().flat_map(|class| class.iter()).map(|counter| counter.load(Ordering::Relaxed)).sum();
        }
        counts[5] = self.other.load(Ordering::Relaxed);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The series of these answers, and how often each was counted.
    fn told(answers: &Answers) -> Vec<(String, u64)> {
        let mut told = Vec::new();
        answers.each(|code, count| told.push((code.to_owned(), count)));
        told
    }

    fn folded(all: &Series) -> [u64; 2] {
        [0, 1].map(|index| all.folded[index].load(Ordering::Relaxed))
    }

    #[test]
    fn a_route_has_so_many_series_and_counts_the_rest_together() {
        let all = Arc::<Series>::default();
        let (room, answers, version) = (Room::new(&all, Counted::Requests), Answers::default(), Room::new(&all, Counted::Versions));

        (0..3).for_each(|_| (100..600).for_each(|status| answers.count(status, &room)));

        let series = told(&answers);
        assert_eq!(series.len(), OF_ONE + 1);
        assert_eq!((series[0].clone(), series[OF_ONE - 1].clone()), (("100".to_owned(), 3), ("163".to_owned(), 3)));
        let rest = 3 * (500 - OF_ONE as u64);
        assert_eq!(series[OF_ONE], (OTHER.to_owned(), rest));
        assert_eq!((folded(&all), answers.by_class().iter().sum::<u64>()), ([rest, 0], 1500));

        let answers = Answers::default();
        (100..=100 + OF_ONE as u16).for_each(|status| answers.count(status, &version));
        assert_eq!((told(&answers).len(), folded(&all)), (OF_ONE + 1, [rest, 1]));
    }

    #[test]
    fn all_routes_together_have_so_many_and_give_them_back() {
        let all = Arc::<Series>::default();
        let routes: Vec<_> = (0..OF_ALL.div_ceil(OF_ONE)).map(|_| (Room::new(&all, Counted::Requests), Answers::default())).collect();
        for (room, answers) in &routes {
            (200..200 + OF_ONE as u16).for_each(|status| answers.count(status, room));
        }
        let series = || routes.iter().map(|(_, answers)| told(answers).iter().filter(|(code, _)| code != OTHER).count()).sum::<usize>();
        assert_eq!(series(), OF_ALL);
        let late = (Room::new(&all, Counted::Requests), Answers::default());
        late.1.count(200, &late.0);
        assert_eq!(told(&late.1), [(OTHER.to_owned(), 1)]);

        drop(routes);

        assert_eq!(all.taken.load(Ordering::Relaxed), 0);
        late.1.count(200, &late.0);
        assert_eq!(told(&late.1), [("200".to_owned(), 1), (OTHER.to_owned(), 1)]);
    }
}
