//! The page that Prometheus reads, collected one metric at a time.
//!
//! Series are listed from the handles that are alive, instead of being kept in the library's label maps: those hash labels
//! without a separator, so that two series can become one, and a late request would bring a removed series back.

use std::collections::BTreeMap;

use prometheus::core::Metric as _;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Histogram, TextEncoder};

/// Labels with their values.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

/// What a scrape has collected so far. A metric's help is what its first series came with.
#[derive(Default)]
pub(super) struct Scrape(BTreeMap<String, MetricFamily>);

impl Scrape {
    /// Adds a series of a counter.
    pub(super) fn counter(&mut self, name: &str, help: &str, labels: Labels<'_>, value: f64) {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_counter(counter);
        self.add(name, help, MetricType::COUNTER, metric);
    }

    /// Adds a series of a gauge.
    pub(super) fn gauge(&mut self, name: &str, help: &str, labels: Labels<'_>, value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_gauge(gauge);
        self.add(name, help, MetricType::GAUGE, metric);
    }

    /// Adds a series of a histogram.
    pub(super) fn histogram(&mut self, name: &str, help: &str, labels: Labels<'_>, histogram: &Histogram) {
        let mut metric = histogram.metric();
        metric.set_label(pairs(labels));
        self.add(name, help, MetricType::HISTOGRAM, metric);
    }

    /// Adds what a registry of the library has gathered.
    pub(super) fn families(&mut self, families: Vec<MetricFamily>) {
        for mut family in families {
            let existing = self.0.entry(family.name().to_owned()).or_default();
            if existing.name().is_empty() {
                *existing = family;
            } else {
                let mut metrics = existing.take_metric();
                metrics.extend(family.take_metric());
                existing.set_metric(metrics);
            }
        }
    }

    /// The page in the text format, version 0.0.4, metrics in the order of their names.
    pub(super) fn page(self) -> String {
        let families: Vec<_> = self.0.into_values().filter(|family| !family.get_metric().is_empty()).collect();
        let mut page = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut page) {
            log::error!("metrics cannot be written: {error}");
        }
        page
    }

    fn add(&mut self, name: &str, help: &str, kind: MetricType, metric: Metric) {
        if let Some(family) = self.0.get_mut(name) {
            return family.mut_metric().push(metric);
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(vec![metric]);
        self.0.insert(name.to_owned(), family);
    }
}

fn pairs(labels: Labels<'_>) -> Vec<LabelPair> {
    labels
        .iter()
        .map(|&(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value.to_owned());
            pair
        })
        .collect()
}
