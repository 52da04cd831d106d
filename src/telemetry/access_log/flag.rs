//! What went wrong with a request, in the letters that Envoy's access log made known.

/// Why a request was not answered as its route says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// No route takes it.
    NoRoute,
    /// A rate limit refused it.
    RateLimited,
    /// The upstream is not asked: it has as many requests as it may, its circuit is open, or the gateway is overloaded.
    UpstreamOverflow,
    /// No connection to the upstream could be made.
    UpstreamConnectionFailure,
    /// The upstream was too slow.
    UpstreamTimeout,
    /// The upstream has no endpoint that can take it.
    NoHealthyUpstream,
    /// The upstream closed the connection before its answer was complete.
    UpstreamConnectionTermination,
    /// What the upstream sent is no HTTP answer, or leaves open where it ends.
    UpstreamProtocolError,
    /// The client left, or was too slow.
    DownstreamConnectionTermination,
    /// A drill has delayed it.
    DelayInjected,
    /// A drill has made it meet another fault.
    FaultInjected,
}

impl Flag {
    /// The letters of all.
    pub(crate) const LETTERS: [&str; 11] = [
        Self::NoRoute.letters(),
        Self::RateLimited.letters(),
        Self::UpstreamOverflow.letters(),
        Self::UpstreamConnectionFailure.letters(),
        Self::UpstreamTimeout.letters(),
        Self::NoHealthyUpstream.letters(),
        Self::UpstreamConnectionTermination.letters(),
        Self::UpstreamProtocolError.letters(),
        Self::DownstreamConnectionTermination.letters(),
        Self::DelayInjected.letters(),
        Self::FaultInjected.letters(),
    ];

    /// Its letters: two, and three where Envoy has three.
    pub(crate) const fn letters(self) -> &'static str {
        match self {
            Self::NoRoute => "NR",
            Self::RateLimited => "RL",
            Self::UpstreamOverflow => "UO",
            Self::UpstreamConnectionFailure => "UF",
            Self::UpstreamTimeout => "UT",
            Self::NoHealthyUpstream => "UH",
            Self::UpstreamConnectionTermination => "UC",
            Self::UpstreamProtocolError => "UPE",
            Self::DownstreamConnectionTermination => "DC",
            Self::DelayInjected => "DI",
            Self::FaultInjected => "FI",
        }
    }
}
