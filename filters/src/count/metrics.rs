//! The metric families that filters count in. Each filter asks for its own when it is built and resolves its handles then: counting looks
//! up no label.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::{IntGaugeVec, Opts, Registry};

use crate::count::stripe::CounterVec;

/// The label of what has no name of its own: requests without a route, limits without tiers.
pub const NONE: &str = "_none";

/// The families by name. One that was asked for before is the same again, so that kinds can share a family and a reload goes on counting.
#[derive(Clone)]
pub struct Families {
    registry: Registry,
    known: Arc<Mutex<HashMap<String, Family>>>,
}

#[derive(Clone)]
enum Family {
    Counters(CounterVec),
    Gauges(IntGaugeVec),
}

impl Families {
    /// None yet; this is where they will be registered.
    pub fn new(registry: &Registry) -> Self {
        Self { registry: registry.clone(), known: Arc::default() }
    }

    /// The family of counters of this name, which goes out with `frontgate_` before it.
    ///
    /// # Panics
    ///
    /// Where the name was given to a family of another type, with other labels or another help text.
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> CounterVec {
        let family = self.family(name, help, labels, |opts| {
            let family = CounterVec::new(opts, labels).expect("a constant name and labels");
            (Family::Counters(family.clone()), Box::new(family))
        });
        match family {
            Family::Counters(family) => family,
            Family::Gauges(_) => panic!("`{name}` is a gauge already"),
        }
    }

    /// The family of gauges of this name, by the same rules.
    ///
    /// # Panics
    ///
    /// As [`Families::counters`].
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        let family = self.family(name, help, labels, |opts| {
            let family = IntGaugeVec::new(opts, labels).expect("a constant name and labels");
            (Family::Gauges(family.clone()), Box::new(family))
        });
        match family {
            Family::Gauges(family) => family,
            Family::Counters(_) => panic!("`{name}` is a counter already"),
        }
    }

    /// What `jwt` and `rbac` both count in: `auth_decisions_total{filter,decision,reason}`.
    pub fn auth_decisions(&self) -> CounterVec {
        self.counters("auth_decisions_total", "Decisions of jwt and rbac.", &["filter", "decision", "reason"])
    }

    fn family(&self, name: &str, help: &str, labels: &[&str], new: impl FnOnce(Opts) -> (Family, Box<dyn Collector>)) -> Family {
        let mut known = self.known.lock();
        let family = known.entry(name.to_owned()).or_insert_with(|| {
            let (family, collector) = new(Opts::new(format!("frontgate_{name}"), help));
            self.registry.register(collector).expect("only this registers names of filters, and each once");
            family
        });
        let same = family.desc().iter().all(|desc| desc.help == help && desc.variable_labels == labels);
        assert!(same, "`{name}` has another help text or other labels already");
        family.clone()
    }
}

impl Family {
    fn desc(&self) -> Vec<&Desc> {
        match self {
            Self::Counters(family) => family.desc(),
            Self::Gauges(family) => family.desc(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_the_same_for_everybody_who_asks_for_it() {
        let registry = Registry::new();
        let families = Families::new(&registry);

        families.counters("things_total", "Things.", &["filter"]).with_label_values(&["a"]).inc();
        families.clone().counters("things_total", "Things.", &["filter"]).with_label_values(&["a"]).inc();
        families.gauges("state", "A state.", &["filter"]).with_label_values(&["a"]).set(2);

        let names: Vec<_> = registry.gather().iter().map(|family| (family.name().to_owned(), family.get_metric().len())).collect();
        assert_eq!(names, [("frontgate_state".to_owned(), 1), ("frontgate_things_total".to_owned(), 1)]);
        assert_eq!(families.counters("things_total", "Things.", &["filter"]).with_label_values(&["a"]).get(), 2);
    }

    #[test]
    #[should_panic(expected = "other labels already")]
    fn a_name_stands_for_one_family() {
        let families = Families::new(&Registry::new());
        families.counters("things_total", "Things.", &["filter"]);

        families.counters("things_total", "Things.", &["filter", "kind"]);
    }
}
