//! The filters' own counters. A filter resolves its handles when it is built: counting then looks up no label.

use prometheus::{IntGaugeVec, Opts, Registry};

use crate::count::stripe::CounterVec;

/// Every family that filters count in.
#[derive(Clone)]
pub struct FilterMetrics {
    /// `auth_decisions_total{filter,decision,reason}`.
    pub auth_decisions: CounterVec,
    /// `rate_limit_decisions_total{filter,tier,decision}`.
    pub rate_limit_decisions: CounterVec,
    /// `rate_limit_evictions_total{filter}`: keys that were forgotten to make room.
    pub rate_limit_evictions: CounterVec,
    /// `circuit_state{filter,upstream}`: 0 closed, 1 half-open, 2 open.
    pub circuit_state: IntGaugeVec,
    /// `circuit_transitions_total{filter,upstream,to}`.
    pub circuit_transitions: CounterVec,
    /// `fallback_total{filter,kind}`.
    pub fallback: CounterVec,
    /// `trim_input_bytes_total{route,profile}`.
    pub trim_input_bytes: CounterVec,
    /// `trim_output_bytes_total{route,profile}`.
    pub trim_output_bytes: CounterVec,
    /// `trim_skipped_total{route,reason}`.
    pub trim_skipped: CounterVec,
}

impl FilterMetrics {
    /// Registers the families, which begin empty.
    pub fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let family = CounterVec::new(Opts::new(format!("frontgate_{name}"), help), labels).expect("a constant name and labels");
            registry.register(Box::new(family.clone())).expect("registered once");
            family
        };
        let state = IntGaugeVec::new(
            Opts::new("frontgate_circuit_state", "The state of a circuit: 0 closed, 1 half-open, 2 open."),
            &["filter", "upstream"],
        )
        .expect("a constant name and labels");
        registry.register(Box::new(state.clone())).expect("registered once");
        Self {
            auth_decisions: counter("auth_decisions_total", "Decisions of jwt and rbac.", &["filter", "decision", "reason"]),
            rate_limit_decisions: counter("rate_limit_decisions_total", "Decisions of rate limits.", &["filter", "tier", "decision"]),
            rate_limit_evictions: counter("rate_limit_evictions_total", "Keys forgotten to make room for others.", &["filter"]),
            circuit_state: state,
            circuit_transitions: counter("circuit_transitions_total", "Changes of a circuit's state.", &["filter", "upstream", "to"]),
            fallback: counter("fallback_total", "Answers given in place of the upstream's.", &["filter", "kind"]),
            trim_input_bytes: counter("trim_input_bytes_total", "Bytes of JSON that came to be trimmed.", &["route", "profile"]),
            trim_output_bytes: counter("trim_output_bytes_total", "Bytes of JSON that were left.", &["route", "profile"]),
            trim_skipped: counter("trim_skipped_total", "Answers that were not trimmed, or not to their end.", &["route", "reason"]),
        }
    }
}
