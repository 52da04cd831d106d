//! A delay as it is written: `400ms`, `{between: [100ms, 2s]}`, or `{p50: 100ms, p99: 2s}`.

use std::fmt;
use std::time;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};

use crate::words::units::Duration;

/// The longest delay: what takes longer has failed for everybody.
pub(in crate::fault) const LONGEST: time::Duration = time::Duration::from_secs(300);
/// The 99th percentile of the standard normal distribution.
const Z99: f64 = 2.326_347_874_040_841;
/// The longest of a long-tailed delay, in 99th percentiles.
const TAIL: u32 = 10;

/// How much later an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// By this.
    Fixed(Duration),
    /// By something between these two, each as likely as another.
    Between(Duration, Duration),
    /// By a log-normal time: half of them are no longer than the first, and one in a hundred is longer than the second.
    Tailed(Duration, Duration),
}

impl Delay {
    /// The delay at this point between 0 and 1 of all delays, the shortest first.
    pub(in crate::fault) fn at(self, point: f64) -> time::Duration {
        match self {
            Self::Fixed(delay) => delay.0,
            Self::Between(shortest, longest) => shortest.0 + longest.0.saturating_sub(shortest.0).mul_f64(point.clamp(0.0, 1.0)),
            Self::Tailed(half, tail) => {
                let sigma = (tail.0.as_secs_f64() / half.0.as_secs_f64()).ln() / Z99;
                let seconds = half.0.as_secs_f64() * (sigma * quantile(point)).exp();
                let most = (tail.0 * TAIL).min(LONGEST);
                if seconds < most.as_secs_f64() { time::Duration::from_secs_f64(seconds) } else { most }
            }
        }
    }

    /// What is wrong with it.
    pub(super) fn problem(self) -> Option<String> {
        let none = Duration::default();
        let (first, second) = match self {
            Self::Fixed(delay) => (delay, delay),
            Self::Between(first, second) | Self::Tailed(first, second) => (first, second),
        };
        match self {
            _ if second.0 > LONGEST => Some(format!("a delay of {second} is too long: the maximum is {}", Duration(LONGEST))),
            Self::Fixed(delay) if delay == none => Some("a delay of 0s is none".into()),
            Self::Between(..) if first >= second => Some(format!("there is nothing `between` {first} and {second}")),
            Self::Tailed(..) if first == none => Some("half of all delays cannot be 0s: write the least that you mean".into()),
            Self::Tailed(..) if first >= second => Some(format!("`p99` ({second}) must be longer than `p50` ({first})")),
            _ => None,
        }
    }
}

/// The standard normal distribution's value at this point, by Winitzki's approximation of the inverse error function (2008): wrong by less than
/// half a per cent, which no drill can tell.
fn quantile(point: f64) -> f64 {
    const A: f64 = 0.147;
    let x = (2.0 * point - 1.0).clamp(-0.999_999_9, 0.999_999_9);
    let log = (1.0 - x * x).ln();
    let first = 2.0 / (std::f64::consts::PI * A) + log / 2.0;
    let inverse = ((first * first - log / A).sqrt() - first).sqrt();
    std::f64::consts::SQRT_2 * inverse.copysign(x)
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(delay) => write!(f, "{delay}"),
            Self::Between(shortest, longest) => write!(f, "{shortest} to {longest}"),
            Self::Tailed(half, tail) => write!(f, "p50 {half}, p99 {tail}"),
        }
    }
}

/// The forms that are a map.
#[derive(serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    between: Option<(Duration, Duration)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p50: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p99: Option<Duration>,
}

const EXPECTED: &str = "a time such as 400ms, {between: [100ms, 2s]}, or {p50: 100ms, p99: 2s}";

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Delay;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Delay, E> {
                text.parse().map(Delay::Fixed).map_err(E::custom)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Delay, A::Error> {
                match Written::deserialize(MapAccessDeserializer::new(map))? {
                    Written { between: Some((shortest, longest)), p50: None, p99: None } => Ok(Delay::Between(shortest, longest)),
                    Written { between: None, p50: Some(half), p99: Some(tail) } => Ok(Delay::Tailed(half, tail)),
                    _ => Err(de::Error::custom(format!("a delay is {EXPECTED}"))),
                }
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

impl Serialize for Delay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Fixed(delay) => delay.serialize(serializer),
            Self::Between(shortest, longest) => Written { between: Some((shortest, longest)), p50: None, p99: None }.serialize(serializer),
            Self::Tailed(half, tail) => Written { between: None, p50: Some(half), p99: Some(tail) }.serialize(serializer),
        }
    }
}

impl JsonSchema for Delay {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Delay".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let time = generator.subschema_for::<Duration>();
        json_schema!({
            "anyOf": [
                time,
                {
                    "type": "object", "additionalProperties": false, "required": ["between"],
                    "properties": {"between": {"type": "array", "items": time, "minItems": 2, "maxItems": 2,
                        "description": "The shortest and the longest."}},
                },
                {
                    "type": "object", "additionalProperties": false, "required": ["p50", "p99"],
                    "properties": {
                        "p50": {"anyOf": [time], "description": "Half of all delays are no longer than this."},
                        "p99": {"anyOf": [time], "description": "One in a hundred is longer than this."},
                    },
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Delay {
        serde_json::from_str(text).expect("a delay")
    }

    #[test]
    fn each_form_prints_as_it_is_written() {
        for text in [r#""400ms""#, r#"{"between":["100ms","2s"]}"#, r#"{"p50":"100ms","p99":"2s"}"#] {
            assert_eq!(serde_json::to_string(&read(text)).expect("JSON"), text);
        }
        for text in
            ["400", r#""400""#, "{}", r#"{"p50":"1s"}"#, r#"{"between":["1s"]}"#, r#"{"between":["1s","2s"],"p50":"1s","p99":"2s"}"#]
        {
            assert!(serde_json::from_str::<Delay>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn half_are_no_longer_than_p50_and_one_in_a_hundred_is_longer_than_p99() {
        let tailed = read(r#"{"p50":"100ms","p99":"2s"}"#);
        let near = |point: f64, millis: f64| {
            let found = tailed.at(point).as_secs_f64() * 1000.0;
            assert!((found / millis - 1.0).abs() < 0.02, "{point}: {found} ms in place of {millis}");
        };

        near(0.5, 100.0);
        near(0.99, 2000.0);
        near(0.01, 5.0);
        assert_eq!(tailed.at(1.0), time::Duration::from_secs(20));
    }

    proptest! {
        #[test]
        fn no_delay_leaves_its_bounds_and_a_later_point_is_no_shorter(
            first in 1_u64..100_000, more in 1_u64..100_000, point in 0.0..1.0_f64, further in 0.0..1.0_f64
        ) {
            let [first, second] = [first, first + more].map(|millis| Duration(time::Duration::from_millis(millis)));
            let (less, point) = (point.min(further), point.max(further));
            for delay in [Delay::Fixed(first), Delay::Between(first, second), Delay::Tailed(first, second)] {
                prop_assert!(delay.at(less) <= delay.at(point));
                prop_assert!(delay.at(point) <= LONGEST);
                if let Delay::Between(..) = delay {
                    prop_assert!((first.0..=second.0).contains(&delay.at(point)));
                }
            }
        }
    }
}
