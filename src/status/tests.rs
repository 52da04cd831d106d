//! What programs read is what was promised, and words and numbers mean the same on both sides.

use frontgate_filters::filter::inspect::CircuitState as State;

use super::*;
use crate::telemetry::EndpointState;

const WIRE: &str = r#"{"status":"down","reasons":["the required upstream `main` has no endpoint that takes requests"],"version":"0.1.0","config":"abc123","in_force":{"how":"rollback","who":"127.0.0.1:4711 without a token","since":"2026-02-03T04:05:06Z","on_disk":"the files hold another","on_disk_at":"2026-02-03T04:06:06Z","holds":"until they do not"},"log_level":{"level":"debug","for_ms":60000},"requests_in_flight":2,"log_lines_dropped":0,"overload":{"stage":1,"for_ms":1500,"memory":{"used":95,"most":100,"of":"the limit of the control group","stage":1},"descriptors":null,"lag_ms":3,"lag_stage":0},"upstreams":{"main":{"alive":false,"required":true,"in_flight":3,"retrying":1,"first_byte_ms":15000,"adaptive":false,"probed":true,"endpoints":[{"address":"10.0.0.1:80","state":"ejected","weight":1,"in_flight":0,"ejected_for_ms":1500,"version":null,"last_error":"status 503","last_error_ms_ago":1200,"protocol":"h2","drained_for_ms":null,"weighed_by_hand":true,"weighed_for_ms":2500},{"address":"10.0.0.2:80","name":"users.internal:80","state":"unhealthy","weight":2,"in_flight":3,"ejected_for_ms":null,"version":"v2","last_error":null,"last_error_ms_ago":null,"protocol":null,"drained_for_ms":null,"weighed_by_hand":false,"weighed_for_ms":null}],"discovery":{"sources":[{"source":"file targets.json","state":"away","age_seconds":7,"endpoints":2,"held":1,"why":"it does not exist"}]}}},"canaries":[{"route":"products","version":"v2","upstreams":["main"],"share":"5%","answered":7,"failed":1,"spilled":2},{"route":"products","version":"stable","upstreams":["main"],"share":null,"answered":93,"failed":0,"spilled":0}],"circuits":[{"filter":"guard","upstream":"main","state":"half_open","requests":20,"failures":11,"slow":0,"probes":1,"open_for_ms":null,"forced":"open","forced_for_ms":60000}],"key_sets":{"login":{"age_seconds":61}},"sagas":{"journal":"unavailable","why":"no space left on device","open":[{"route":"checkout","state":"stuck","count":2}]}}"#;

#[test]
fn what_is_written_is_what_programs_know_and_is_read_back_whole() {
    let status: Status = serde_json::from_str(WIRE).expect("a status");

    assert_eq!(serde_json::to_string(&status).expect("JSON"), WIRE);
    assert_eq!(status.upstreams["main"].endpoints[0].state, EndpointState::Ejected);
    assert_eq!((status.circuits[0].state, status.circuits[0].forced), (CircuitState::HalfOpen, Some(Force::Open)));
}

#[test]
fn what_a_newer_gateway_tells_in_addition_is_passed_over() {
    let newer = WIRE.replacen("{\"status\"", "{\"news\":[1],\"status\"", 1);

    assert_eq!(serde_json::from_str::<Status>(&newer).ok(), serde_json::from_str(WIRE).ok());
}

#[test]
fn labels_are_the_words_on_the_wire() {
    for force in [Force::Open, Force::Closed, Force::Auto] {
        assert_eq!(serde_json::to_value(force).expect("JSON"), force.label());
        assert_eq!(Force::parse(force.label()), Some(force));
    }
    for state in [State::Closed, State::HalfOpen, State::Open] {
        let told = CircuitState::from(state);
        assert_eq!((serde_json::to_value(told).expect("JSON"), told.label()), (state.name().into(), state.name()));
    }
    use SourceState::{Away, Current, Doubtful, Invalid, Waiting, Warm};
    for state in [Current, Doubtful, Away, Invalid, Warm, Waiting] {
        assert_eq!(serde_json::to_value(state).expect("JSON"), state.label());
    }
    for state in EndpointState::ALL {
        assert_eq!(serde_json::to_value(state).expect("JSON"), state.label());
    }
    for state in SagaState::ALL {
        assert_eq!(serde_json::to_value(state).expect("JSON"), state.label());
        assert_eq!(SagaState::parse(state.label()), Some(state));
    }
    for step in [SagaStep::Waiting, SagaStep::Running, SagaStep::Done, SagaStep::Failed, SagaStep::Unknown] {
        assert_eq!(serde_json::to_value(step).expect("JSON"), step.label());
    }
    for undo in [SagaUndo::Waiting, SagaUndo::Running, SagaUndo::Done, SagaUndo::Stuck, SagaUndo::Unknown] {
        assert_eq!(serde_json::to_value(undo).expect("JSON"), undo.label());
    }
    for level in [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Usual] {
        assert_eq!(serde_json::to_value(level).expect("JSON"), level.label());
        assert_eq!(Level::parse(level.label()), Some(level));
    }
    assert_eq!((Force::parse("ajar"), Level::parse("loud"), SagaState::parse("lost")), (None, None, None));
}
