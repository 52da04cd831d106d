//! What operators are told of a pool.

use std::sync::atomic::Ordering;
use std::time::Instant;

use frontgate_filters::words::fields;

use super::Pool;
use crate::status::{EndpointStatus, UpstreamStatus};
use crate::upstream::cause::Cause;

impl Pool {
    /// What is known of it, for operators.
    pub(crate) fn status(&self, now: Instant) -> UpstreamStatus {
        let millis = self.millis(now);
        let members = self.members.load();
        let endpoints = members.endpoints.iter().map(|endpoint| {
            let left = endpoint.known.ejected_until.load(Ordering::Relaxed).saturating_sub(millis);
            let last_error = Cause::numbered(endpoint.known.last_error.load(Ordering::Relaxed));
            let ago = millis.saturating_sub(endpoint.known.failed_at.load(Ordering::Relaxed));
            EndpointStatus {
                address: endpoint.address,
                name: endpoint.name.as_ref().map(ToString::to_string),
                state: endpoint.state(millis),
                weight: endpoint.weight(millis),
                in_flight: endpoint.in_flight(),
                ejected_for_ms: (left > 0).then_some(left),
                last_error_ms_ago: last_error.map(|_| ago),
                last_error: last_error.map(|cause| cause.to_string()),
                version: endpoint.version.as_ref().and_then(fields::text).map(str::to_owned),
                protocol: self.settings.protocol.as_ref().map(|protocol| protocol.value),
                drained_for_ms: endpoint.known.hold.drained_for(millis),
                weighed_by_hand: endpoint.known.hold.weight(millis).is_some(),
                weighed_for_ms: endpoint.known.hold.weighed_for(millis),
            }
        });
        UpstreamStatus {
            alive: self.is_alive(now),
            required: self.is_required(),
            in_flight: self.load.in_flight.load(Ordering::Relaxed),
            retrying: self.load.retrying.load(Ordering::Relaxed),
            first_byte_ms: self.first_byte().as_millis() as u64,
            adaptive: self.adaptive.is_some(),
            probed: self.settings.health.is_some(),
            endpoints: endpoints.collect(),
            discovery: None,
        }
    }
}
