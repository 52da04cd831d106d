//! What is wrong with the options that their types could not refuse.

use http::HeaderName;

use super::{Config, Jwks, KeySource};
use crate::words::reserved;
use crate::words::selector::Selector;
use crate::words::spanned::{Place, Problem};
use crate::words::url::Url;

impl Config {
    /// Everything that is wrong.
    pub(in crate::jwt) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        algorithms(self, &mut problems);
        if let KeySource::Jwks(jwks) = &self.keys.value {
            jwks_problems(jwks, self.keys.place, &mut problems);
        }
        if self.from.is_empty() {
            problems.push(Problem::lacking(self.from.place, "`from` is empty: no request could bring a token"));
        }
        for source in &self.from.value {
            if !matches!(source.value, Selector::Header(_) | Selector::Cookie(_)) {
                let message = format!("a token is not looked for in `{}`: write header.NAME or cookie.NAME", source.value);
                problems.push(Problem::at(source.place, message));
            }
        }
        if self.leeway.0 > std::time::Duration::from_secs(600) {
            let message = format!("a leeway of {} accepts tokens long after they expired: the maximum is 10m", self.leeway.value);
            problems.push(Problem::at(self.leeway.place, message));
        }
        for (name, claim) in &self.claim_headers {
            let wrong = match HeaderName::from_bytes(name.as_bytes()) {
                Err(_) => Some(format!("`{name}` is not a header name")),
                Ok(header) if reserved::for_claims(&header) => Some(format!("`{name}` is a header that no claim can set")),
                Ok(_) if !claim.reads_claims() => Some(format!("`{}` is not a claim: write claim.NAME", claim.value)),
                Ok(header) => {
                    let alike = |other: &&String| {
                        *other != name && other.to_ascii_lowercase().replace('_', "-") == header.as_str().replace('_', "-")
                    };
                    self.claim_headers
                        .keys()
                        .find(alike)
                        .filter(|other| *other < name)
                        .map(|other| format!("`{name}` and `{other}` are the same header"))
                }
            };
            problems.extend(wrong.map(|message| Problem::at(claim.place, message)));
        }
        problems
    }
}

fn algorithms(config: &Config, problems: &mut Vec<Problem>) {
    if config.algorithms.is_empty() {
        problems.push(Problem::lacking(config.algorithms.place, "`algorithms` is empty: no token could be verified"));
    }
    let symmetric = matches!(config.keys.value, KeySource::Secret(_));
    for algorithm in &config.algorithms.value {
        let name = algorithm.name();
        match (algorithm.secret_length() > 0, symmetric) {
            (true, false) => {
                let message = format!("{name} is signed with a secret, and these keys are public: anybody could sign");
                problems.push(Problem::at(algorithm.place, message).help("leave it out, or use a second `jwt` with `keys: {secret: …}`"));
            }
            (false, true) => {
                problems.push(Problem::at(algorithm.place, format!("{name} is verified with a public key, not with a secret")))
            }
            _ => {}
        }
    }
}

fn jwks_problems(jwks: &Jwks, place: Place, problems: &mut Vec<Problem>) {
    match (&jwks.url, &jwks.file) {
        (Some(_), Some(_)) => problems.push(Problem::at(place, "`jwks` has a `url` or a `file`, not both")),
        (None, None) => problems.push(Problem::lacking(place, "`jwks` needs a `url` or a `file`")),
        (Some(url), None) => {
            if let Err(why) = Url::parse(url) {
                problems.push(Problem::at(url.place, format!("`{}` cannot be fetched: {why}", url.value)));
            }
            for (key, value, least) in [("refresh", &jwks.refresh, 1), ("stale_for", &jwks.stale_for, 0)] {
                if let Some(value) = value.filter(|value| value.0 < std::time::Duration::from_secs(least)) {
                    problems.push(Problem::at(value.place, format!("`{key}` must be at least {least}s")));
                }
            }
        }
        (None, Some(_)) => {
            for (key, value) in [("refresh", &jwks.refresh), ("stale_for", &jwks.stale_for)] {
                if let Some(value) = value {
                    problems.push(Problem::at(value.place, format!("`{key}` is for a `url`: a file is read again on reload")));
                }
            }
        }
    }
}
