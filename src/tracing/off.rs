//! A build without `otel` makes no spans: there is no value of this type, and whoever has one has nothing to do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use frontgate_filters::grpc::Status;

use super::Ended;
use crate::config::model::Config;
use crate::telemetry::Metrics;
use crate::telemetry::trace::Parent;
use crate::upstream::Documents;

/// What makes spans: nothing.
pub(crate) enum Tracing {}

impl Tracing {
    /// None: a configuration that wants spans was refused.
    pub(crate) fn compile(_: &Config, _: Option<&Self>, _: &Metrics, _: Option<&Documents>) -> Result<Option<Arc<Self>>, String> {
        Ok(None)
    }

    pub(crate) fn start(&self, _: &tokio::runtime::Handle) {
        match *self {}
    }

    pub(crate) fn asks(&self, _: &str) -> bool {
        match *self {}
    }

    pub(crate) fn samples(&self, _: Option<usize>, _: Option<Parent>, _: u128) -> bool {
        match *self {}
    }

    pub(crate) fn keeps(&self, _: u16, _: Option<Status>, _: bool, _: Option<Duration>) -> Option<&'static str> {
        match *self {}
    }

    pub(crate) fn record(&self, _: &Ended<'_>) {
        match *self {}
    }

    pub(crate) async fn flush(&self, _: Instant) {
        match *self {}
    }
}
