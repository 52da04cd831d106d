//! How much the gateway's own log tells, as operators see and set it.

use serde::{Deserialize, Serialize};

/// What an operator has set the level of the gateway's own log to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogLevel {
    /// The level.
    pub level: Level,
    /// How much longer, in milliseconds.
    pub for_ms: u64,
}

/// The answer to an operator who sets the level of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LogLevelSet {
    /// The level.
    pub level: Level,
    /// How long, in milliseconds, where it has an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
}

/// How much the gateway's own log tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// What went wrong.
    Error,
    /// And what may go wrong, and what operators do.
    Warn,
    /// And what happens.
    Info,
    /// And why single attempts at upstreams fail.
    Debug,
    /// What the process was started with.
    Usual,
}

impl Level {
    /// As it is written.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Usual => "usual",
        }
    }

    /// The level of this name.
    pub(crate) fn parse(label: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Usual].into_iter().find(|level| level.label() == label)
    }
}
