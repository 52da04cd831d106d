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

/// What a family is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its whole name.
    pub name: String,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    /// Its help text.
    pub help: String,
    /// The names of its labels.
    pub labels: Vec<String>,
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

    /// Every family by its whole name, also of those that have counted nothing yet.
    pub fn described(&self) -> Vec<Described> {
        let known = self.known.lock();
        let each = known.values().flat_map(|family| family.desc().into_iter().map(|desc| (family.kind(), desc)));
        let mut described: Vec<Described> = each
            .map(|(kind, desc)| Described {
                name: desc.fq_name.clone(),
                kind,
                help: desc.help.clone(),
                labels: desc.variable_labels.clone(),
            })
            .collect();
        described.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        described
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
    fn kind(&self) -> &'static str {
        match self {
            Self::Counters(_) => "counter",
            Self::Gauges(_) => "gauge",
        }
    }

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
    fn families_are_described_before_they_count() {
        let families = Families::new(&Registry::new());
        families.gauges("state", "A state.", &["filter", "upstream"]);
        families.counters("a_total", "Things.", &[]);

        let described = families.described();

        let gauge = Described {
            name: "frontgate_state".to_owned(),
            kind: "gauge",
            help: "A state.".to_owned(),
            labels: vec!["filter".to_owned(), "upstream".to_owned()],
        };
        assert_eq!((described[0].name.as_str(), described[0].kind), ("frontgate_a_total", "counter"));
        assert_eq!(described[1], gauge);
    }

    #[test]
    #[should_panic(expected = "other labels already")]
    fn a_name_stands_for_one_family() {
        let families = Families::new(&Registry::new());
        families.counters("things_total", "Things.", &["filter"]);

        families.counters("things_total", "Things.", &["filter", "kind"]);
    }
}
