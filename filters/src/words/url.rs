//! The little of a URL that fetching a document needs.

/// An http or https URL without user, password or fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether it is https.
    pub tls: bool,
    /// The host's name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What `Host` says.
    pub authority: String,
    /// Path and query.
    pub target: String,
}

impl Url {
    /// Reads it; the error says what is wrong, without repeating it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: http::Uri = text.parse().map_err(|_| "it is not a URL")?;
        let (tls, usual) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            _ => return Err("it begins with neither http:// nor https://"),
        };
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("it holds a user or a password");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || text.contains('#') {
            return Err("it names no host, or a fragment");
        }
        Ok(Self {
            tls,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(usual),
            authority: authority.as_str().to_owned(),
            target: uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_can_be_fetched_and_refuses_the_rest() {
        let url = Url::parse("https://id.example/keys?x=1").expect("a URL");
        assert_eq!((url.tls, url.host.as_str(), url.port, url.target.as_str()), (true, "id.example", 443, "/keys?x=1"));
        let url = Url::parse("http://[::1]:8080").expect("a URL");
        assert_eq!((url.tls, url.host.as_str(), url.port, url.target.as_str()), (false, "::1", 8080, "/"));
        for wrong in ["", "id.example/keys", "ftp://a/b", "https://u:p@a/", "https://", "/keys", "http://a/#b", "http://a b/"] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }
}
