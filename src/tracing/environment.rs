//! The variables that OpenTelemetry's specification gives every program that sends spans, as far as they mean something here.
//!
//! What the configuration says comes before them. A value that cannot be used counts as none, and the log is told which, never what it was:
//! headers are secrets.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use frontgate_filters::words::url::Url;
use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

/// What the variables say, with the specification's defaults.
#[derive(Debug, PartialEq)]
pub(super) struct Environment {
    /// Whether nothing is to be made.
    pub disabled: bool,
    /// Where spans are sent, with the path.
    pub target: String,
    /// What is sent with them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long sending may take once.
    pub timeout: Duration,
    /// What the gateway is called.
    pub service: Option<String>,
    /// What else is said of it.
    pub resource: Vec<(String, String)>,
    /// Whether a caller's decision is followed, and the share of traces that are recorded otherwise.
    pub sampler: (bool, f64),
    /// How long spans wait for others at most.
    pub delay: Duration,
    /// How many may wait.
    pub most: usize,
    /// How many are sent at once at most.
    pub batch: usize,
    /// How long sending may take with all tries.
    pub patience: Duration,
    /// What is wrong with some of them.
    pub warnings: Vec<String>,
}

/// Where a collector on this machine takes spans.
const USUAL: &str = "http://localhost:4318";

/// The traces' path below a collector's URL.
const PATH: &str = "/v1/traces";

/// Where spans go of a collector at this URL, or of one that is named with the path.
pub(super) fn target(url: &str) -> String {
    let base = url.trim_end_matches('/');
    if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") }
}

struct Reader<'r> {
    variable: &'r dyn Fn(&str) -> Option<String>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    /// A value; an empty one is none.
    fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The first of these variables that is set, which is one for traces alone and one for all signals.
    fn either(&self, name: &str) -> Option<(String, String)> {
        let of_traces = format!("OTEL_EXPORTER_OTLP_TRACES_{name}");
        let of_all = format!("OTEL_EXPORTER_OTLP_{name}");
        [of_traces, of_all].into_iter().find_map(|name| Some((self.text(&name)?, name)))
    }

    fn wrong(&mut self, name: &str, what: impl Display) {
        self.warnings.push(format!("{name} is ignored: {what}"));
    }

    /// A number within bounds.
    fn number<T: FromStr + PartialOrd + Display>(&mut self, name: &str, usual: T, least: T, most: T) -> T {
        let Some(text) = self.text(name) else { return usual };
        match text.parse() {
            Ok(number) if number >= least && number <= most => number,
            _ => {
                self.wrong(name, format_args!("it is no number from {least} to {most}"));
                usual
            }
        }
    }

    fn millis(&mut self, name: &str, usual: u64) -> Duration {
        Duration::from_millis(self.number(name, usual, 1, 3_600_000))
    }

    /// Pairs of names and values, encoded as those of `baggage`.
    fn pairs(&mut self, name: &str, text: &str) -> Vec<(String, String)> {
        let pair = |member: &str| {
            let (key, value) = member.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            Some((key.trim().to_owned(), value.into_owned())).filter(|(key, _)| !key.is_empty())
        };
        let members = text.split(',').filter(|member| !member.trim().is_empty());
        members.map(pair).collect::<Option<_>>().unwrap_or_else(|| {
            self.wrong(name, "it is no list of names and values, as in name=value,other=value");
            Vec::new()
        })
    }

    /// Names those that ask for what is not done.
    fn others(&mut self) {
        let others = [
            ("PROTOCOL", "http/protobuf", "http/protobuf is what is spoken"),
            ("COMPRESSION", "none", "what is sent is not compressed"),
            ("CERTIFICATE", "", "the system's roots hold, or those that SSL_CERT_FILE names"),
            ("CLIENT_KEY", "", "no certificate is shown to a collector"),
            ("CLIENT_CERTIFICATE", "", "no certificate is shown to a collector"),
        ];
        for (name, done, why) in others {
            if let Some((value, name)) = self.either(name)
                && value != done
            {
                self.wrong(&name, why);
            }
        }
        let name = "OTEL_PROPAGATORS";
        let is_known = |word: &str| matches!(word.trim(), "tracecontext" | "baggage");
        if self.text(name).is_some_and(|text| !text.split(',').all(is_known)) {
            self.wrong(name, "tracecontext and baggage are what is told");
        }
    }

    fn target(&mut self) -> String {
        let found = match (self.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), self.text("OTEL_EXPORTER_OTLP_ENDPOINT")) {
            (Some(url), _) => Some(("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url)),
            (None, Some(base)) => Some(("OTEL_EXPORTER_OTLP_ENDPOINT", target(&base))),
            (None, None) => None,
        };
        match found.map(|(name, url)| (name, Url::parse(&url), url)) {
            None => target(USUAL),
            Some((_, Ok(_), url)) => url,
            Some((name, Err(why), _)) => {
                self.wrong(name, why);
                target(USUAL)
            }
        }
    }

    fn headers(&mut self) -> Vec<(HeaderName, HeaderValue)> {
        let Some((text, name)) = self.either("HEADERS") else { return Vec::new() };
        let pairs = self.pairs(&name, &text);
        let header = |(key, value): (String, String)| {
            let (key, mut value) = (HeaderName::from_str(&key).ok()?, HeaderValue::from_str(&value).ok()?);
            value.set_sensitive(true);
            Some((key, value))
        };
        pairs.into_iter().map(header).collect::<Option<_>>().unwrap_or_else(|| {
            self.wrong(&name, "a name or a value in it is none that a header may have");
            Vec::new()
        })
    }

    fn sampler(&mut self) -> (bool, f64) {
        let (name, argument) = ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG");
        match self.text(name).as_deref() {
            None | Some("parentbased_always_on") => (true, 1.0),
            Some("parentbased_always_off") => (true, 0.0),
            Some("parentbased_traceidratio") => (true, self.number(argument, 1.0, 0.0, 1.0)),
            Some("always_on") => (false, 1.0),
            Some("always_off") => (false, 0.0),
            Some("traceidratio") => (false, self.number(argument, 1.0, 0.0, 1.0)),
            Some(_) => {
                self.wrong(name, "it is none of always_on, always_off, traceidratio and the same with parentbased_ before them");
                (true, 1.0)
            }
        }
    }
}

/// Reads what `variable` knows.
pub(super) fn read(variable: &dyn Fn(&str) -> Option<String>) -> Environment {
    let mut reader = Reader { variable, warnings: Vec::new() };
    reader.others();
    let is = |name: &str, value: &str| reader.text(name).is_some_and(|text| text.eq_ignore_ascii_case(value));
    let disabled = is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none");
    let resource = reader.text("OTEL_RESOURCE_ATTRIBUTES");
    let resource = resource.map(|text| reader.pairs("OTEL_RESOURCE_ATTRIBUTES", &text)).unwrap_or_default();
    let timeout = reader.either("TIMEOUT").map_or_else(|| "OTEL_EXPORTER_OTLP_TIMEOUT".to_owned(), |(_, name)| name);
    let most = reader.number("OTEL_BSP_MAX_QUEUE_SIZE", 2048, 1, 65_536);
    Environment {
        disabled,
        target: reader.target(),
        headers: reader.headers(),
        timeout: reader.millis(&timeout, 10_000),
        service: reader.text("OTEL_SERVICE_NAME"),
        resource,
        sampler: reader.sampler(),
        delay: reader.millis("OTEL_BSP_SCHEDULE_DELAY", 5000),
        most,
        batch: reader.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512.min(most), 1, most),
        patience: reader.millis("OTEL_BSP_EXPORT_TIMEOUT", 30_000),
        warnings: reader.warnings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Environment {
        let known = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        read(&known)
    }

    #[test]
    fn without_variables_the_specification_s_defaults_hold() {
        let usual = Environment {
            disabled: false,
            target: "http://localhost:4318/v1/traces".to_owned(),
            headers: Vec::new(),
            timeout: Duration::from_secs(10),
            service: None,
            resource: Vec::new(),
            sampler: (true, 1.0),
            delay: Duration::from_secs(5),
            most: 2048,
            batch: 512,
            patience: Duration::from_secs(30),
            warnings: Vec::new(),
        };

        assert_eq!(of(&[]), usual);
        let done = [("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"), ("OTEL_PROPAGATORS", "tracecontext,baggage")];
        assert_eq!(of(&done), usual);
        assert_eq!(of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", ""), ("OTEL_SDK_DISABLED", " "), ("OTEL_TRACES_SAMPLER", "")]), usual);
    }

    #[test]
    fn spans_go_to_the_path_for_traces_or_where_a_variable_for_traces_says() {
        let all = "OTEL_EXPORTER_OTLP_ENDPOINT";
        for (base, whole) in [
            ("http://a:4318", "http://a:4318/v1/traces"),
            ("http://a:4318/", "http://a:4318/v1/traces"),
            ("https://a/otlp", "https://a/otlp/v1/traces"),
            ("https://a/v1/traces", "https://a/v1/traces"),
        ] {
            assert_eq!(of(&[(all, base)]).target, whole);
        }
        let both = of(&[(all, "http://a:1"), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b:2/in")]);
        assert_eq!((both.target.as_str(), both.warnings.len()), ("http://b:2/in", 0));
    }

    #[test]
    fn headers_and_attributes_are_decoded() {
        let found = of(&[
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key = s3cr%20t , X-Tenant=a=b"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod,team=K%C3%B6ln"),
            ("OTEL_SERVICE_NAME", "edge"),
        ]);

        let told: Vec<_> = found.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(told, [("api-key", "s3cr t"), ("x-tenant", "a=b")]);
        assert_eq!(found.resource, [("deployment.environment.name", "prod"), ("team", "Köln")].map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(found.service.as_deref(), Some("edge"));
        assert!(!format!("{found:?}").contains("s3cr"), "{found:?}");
        let traces = of(&[("OTEL_EXPORTER_OTLP_HEADERS", "a=1"), ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "b=2")]);
        assert_eq!(traces.headers.len(), 1);
        assert_eq!(traces.headers[0].0, "b");
    }

    #[test]
    fn samplers_have_the_specification_s_names() {
        for (name, argument, sampler) in [
            ("always_on", "0.1", (false, 1.0)),
            ("always_off", "", (false, 0.0)),
            ("traceidratio", "0.25", (false, 0.25)),
            ("parentbased_always_on", "", (true, 1.0)),
            ("parentbased_always_off", "", (true, 0.0)),
            ("parentbased_traceidratio", "0.01", (true, 0.01)),
            ("parentbased_traceidratio", "", (true, 1.0)),
        ] {
            let found = of(&[("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", argument)]);
            assert_eq!((found.sampler, found.warnings.len()), (sampler, 0), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_and_not_shown() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "s3cr3t:4317"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://user:s3cr3t@a/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "s3cr3t"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=s3cr3t%0a"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "s3cr3t"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "-1"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/s3cr3t.pem"),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/s3cr3t.pem"),
            ("OTEL_PROPAGATORS", "tracecontext,b3"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=1,s3cr3t"),
            ("OTEL_TRACES_SAMPLER", "s3cr3t"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2049"),
            ("OTEL_BSP_SCHEDULE_DELAY", "1.5"),
        ] {
            let found = of(&[(name, value)]);

            assert!(found.warnings.len() == 1 && found.warnings[0].starts_with(&format!("{name} is ignored: ")), "{found:?}");
            assert!(!found.warnings[0].contains("s3cr3t"), "{found:?}");
            assert_eq!(Environment { warnings: Vec::new(), ..found }, of(&[]), "{name}");
        }
        let found = of(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "1.5")]);
        assert_eq!((found.sampler, found.warnings.len()), ((false, 1.0), 1));
    }

    #[test]
    fn everything_is_off_where_it_is_said_to_be() {
        for (name, value) in [("OTEL_SDK_DISABLED", "true"), ("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert!(of(&[(name, value)]).disabled);
        }
        for (name, value) in [("OTEL_SDK_DISABLED", "false"), ("OTEL_SDK_DISABLED", "1"), ("OTEL_TRACES_EXPORTER", "otlp")] {
            assert!(!of(&[(name, value)]).disabled);
        }
    }
}
