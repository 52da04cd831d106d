//! How sagas are counted: each open one has a place among those of its route, which moves with its state and goes with it.

use std::sync::Arc;

use super::machine::State;
use super::record::Millis;
use crate::status::SagaState;
use crate::telemetry::SagaMetrics;

/// An open saga among those of its route. Dropped, it is open no more; as it is where the process parks it.
#[derive(Debug)]
pub(crate) struct Counted {
    of: Arc<SagaMetrics>,
    begun: Millis,
    is: SagaState,
}

impl Counted {
    /// One that begins, or was found, in this state. `begun` is when it began.
    pub(crate) fn new(of: &Arc<SagaMetrics>, state: State, begun: Millis) -> Self {
        let is = SagaState::from(state);
        of.enters(is);
        Self { of: of.clone(), begun, is }
    }

    /// It is in this state now, which is durable.
    pub(crate) fn moves(&mut self, state: State, now: Millis) {
        let is = SagaState::from(state);
        if is == self.is {
            return;
        }
        // Whoever reads in between sees one too many rather than none.
        self.of.enters(is);
        self.of.leaves(self.is);
        self.is = is;
        if state.is_ended() {
            self.of.ends(is, self.begun.until(now));
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.of.leaves(self.is);
    }
}

impl From<State> for SagaState {
    fn from(state: State) -> Self {
        match state {
            State::Running(_) => Self::Running,
            State::Undoing(_) => Self::Undoing,
            State::Stuck(_) => Self::Stuck,
            State::Done => Self::Done,
            State::Undone => Self::Undone,
            State::Abandoned => Self::Abandoned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::Stuck;
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn a_saga_is_in_one_place_at_a_time_and_its_end_is_counted_once() {
        let metrics = Metrics::new();
        let sagas = metrics.sagas("checkout");
        let open = || SagaState::OPEN.map(|state| sagas.open(state));

        let mut saga = Counted::new(&sagas, State::Running(0), Millis(1_000));
        assert_eq!(open(), [1, 0, 0]);
        for (state, counts) in [
            (State::Running(1), [1, 0, 0]),
            (State::Undoing(1), [0, 1, 0]),
            (State::Stuck(Stuck::Undo(1)), [0, 0, 1]),
            (State::Undoing(0), [0, 1, 0]),
            (State::Undone, [0, 0, 0]),
            (State::Undone, [0, 0, 0]),
        ] {
            saga.moves(state, Millis(3_500));
            assert_eq!(open(), counts, "{state:?}");
        }
        drop(saga);

        assert_eq!(open(), [0, 0, 0]);
        let page = metrics.render(&Default::default(), &Default::default(), &[]);
        assert!(page.contains(r#"frontgate_saga_ended_total{route="checkout",state="undone"} 1"#), "{page}");
        assert!(page.contains(r#"frontgate_saga_duration_seconds_sum{route="checkout"} 2.5"#), "{page}");
    }

    #[test]
    fn a_saga_that_is_parked_is_open_nowhere_and_has_not_ended() {
        let metrics = Metrics::new();
        let sagas = metrics.sagas("checkout");

        drop(Counted::new(&sagas, State::Stuck(Stuck::Pivot(2)), Millis(0)));

        assert_eq!(metrics.open_sagas(), []);
        let page = metrics.render(&Default::default(), &Default::default(), &[]);
        assert!(page.contains(r#"frontgate_saga_duration_seconds_count{route="checkout"} 0"#), "{page}");
    }

    #[test]
    fn of_a_route_that_is_gone_the_counts_stay_as_long_as_a_saga_is_open() {
        let metrics = Metrics::new();
        let saga = Counted::new(&metrics.sagas("checkout"), State::Running(0), Millis(0));
        drop(metrics.sagas("refund"));
        let page = || metrics.render(&Default::default(), &Default::default(), &[]);
        assert!(page().contains("refund"), "{}", page());

        metrics.retire(&|_| false, &|_| false);
        assert!(page().contains(r#"frontgate_saga_open{route="checkout",state="running"} 1"#), "{}", page());
        assert!(!page().contains("refund"), "{}", page());
        drop(saga);
        metrics.retire(&|_| false, &|_| false);

        assert!(!page().contains("checkout"), "{}", page());
    }
}
