//! Why a request is refused: a word for the log and the metrics, and the answer, which says less.

use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};

use crate::reply::Reply;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $word:literal),* $(,)?) => {
        /// Why a token is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason { $($(#[$doc])* $name),* }

        impl Reason {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its word in the log and in `auth_decisions_total`.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

reasons! {
    /// There is no token.
    NoToken = "no_token",
    /// It is sent more than once, or not in the form that RFC 6750 asks for.
    BadRequest = "bad_request",
    /// It is not a compact JWS.
    Malformed = "malformed",
    /// It is longer than any that is looked at.
    TooLong = "too_long",
    /// Its algorithm is not allowed.
    Algorithm = "algorithm",
    /// It says that it is something else than an access token.
    TokenType = "token_type",
    /// Its header asks for what is not understood.
    Critical = "critical_header",
    /// It names a key that is not there.
    UnknownKey = "unknown_key",
    /// The key it names is of another type than its algorithm.
    KeyType = "key_type",
    /// Its signature does not verify.
    Signature = "signature",
    /// Its payload is not a JSON object with unique names.
    Claims = "claims",
    /// A registered claim is of a wrong type.
    ClaimType = "claim_type",
    /// It has no `exp`.
    NoExpiry = "no_expiry",
    /// It has expired.
    Expired = "expired",
    /// Its time has not come.
    NotYetValid = "not_yet_valid",
    /// Somebody else made it.
    Issuer = "issuer",
    /// It was made for somebody else.
    Audience = "audience",
    /// A header cannot hold a claim that is to go into it.
    ClaimHeader = "claim_header",
    /// There are no keys to verify it with.
    NoKeys = "no_keys",
}

impl Reason {
    /// Whether keys that are fetched anew might change the answer.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::UnknownKey | Self::NoKeys)
    }

    /// The answer (RFC 6750, section 3).
    pub fn reply(self) -> Reply {
        match self {
            Self::NoToken => Reply::unauthenticated(),
            Self::BadRequest => challenge(
                Reply::problem(StatusCode::BAD_REQUEST, "invalid_request", "The token is malformed or sent more than once."),
                r#"Bearer realm="frontgate", error="invalid_request", error_description="The request must carry one well-formed token""#,
            ),
            Self::NoKeys => Reply::problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "keys_unavailable",
                "Tokens cannot be verified at the moment; try again later.",
            ),
            Self::Expired => challenge(
                Reply::problem(StatusCode::UNAUTHORIZED, "invalid_token", "The token has expired."),
                r#"Bearer realm="frontgate", error="invalid_token", error_description="The token has expired""#,
            ),
            _ => challenge(
                Reply::problem(StatusCode::UNAUTHORIZED, "invalid_token", "The token is not valid."),
                r#"Bearer realm="frontgate", error="invalid_token", error_description="The token is not valid""#,
            ),
        }
    }
}

fn challenge(reply: Reply, challenge: &'static str) -> Reply {
    reply.with(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}
