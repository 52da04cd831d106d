//! `tracestate`: what systems of tracing tell each other, member by member (W3C Trace Context, section 3.3).

use frontgate_filters::words::fields;
use http::HeaderMap;

use super::TRACESTATE;

/// The most members that there may be.
const MOST: usize = 32;

/// The members that go on: all of them as they are, or none where one is malformed or there are too many.
pub(crate) fn state(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let members = || fields::list(headers, &TRACESTATE);
    let is_valid = members().take(MOST + 1).count() <= MOST && members().all(is_member);
    is_valid.then(members).into_iter().flatten()
}

fn is_member(member: &[u8]) -> bool {
    let Some(at) = member.iter().position(|byte| *byte == b'=') else { return false };
    is_key(&member[..at]) && is_value(&member[at + 1..])
}

/// A name, or one that is qualified by a tenant before it.
fn is_key(key: &[u8]) -> bool {
    let are_signs = |text: &[u8]| {
        text.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
            && text.first().is_some_and(u8::is_ascii_alphanumeric)
    };
    match key.iter().position(|byte| *byte == b'@') {
        None => key.len() <= 256 && are_signs(key),
        Some(at) => {
            let (tenant, system) = (&key[..at], &key[at + 1..]);
            tenant.len() <= 241 && are_signs(tenant) && system.len() <= 14 && are_signs(system) && system[0].is_ascii_lowercase()
        }
    }
}

/// Printable signs but for the comma and the equals sign, the last one no space.
fn is_value(value: &[u8]) -> bool {
    (1..=256).contains(&value.len())
        && value.iter().all(|byte| matches!(byte, 0x20..=0x7e) && !matches!(byte, b',' | b'='))
        && value.last() != Some(&b' ')
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn told(values: &[&str]) -> Vec<String> {
        let headers: HeaderMap = values.iter().map(|value| (TRACESTATE, HeaderValue::from_str(value).unwrap())).collect();
        state(&headers).map(|member| String::from_utf8(member.to_vec()).unwrap()).collect()
    }

    #[test]
    fn valid_members_go_on_in_their_order() {
        assert_eq!(told(&["foo=1 , bar=2,", "t61rcwkgmze@x-z/*=00 f067"]), ["foo=1", "bar=2", "t61rcwkgmze@x-z/*=00 f067"]);
        assert_eq!(told(&["1a=!#$%&'()*+-./:;<>?@[]^_`{|}~"]).len(), 1);
        assert_eq!(told(&[]).len() + told(&[""]).len() + told(&[" , "]).len(), 0);
        let (key, value, tenant) = ("k".repeat(256), "v".repeat(256), "t".repeat(241));
        assert_eq!(told(&[&format!("{key}={value}"), &format!("{tenant}@{}=1", "s".repeat(14))]).len(), 2);
    }

    #[test]
    fn one_malformed_member_takes_all_with_it() {
        let (key, value, tenant) = ("k".repeat(257), "v".repeat(257), "t".repeat(242));
        for wrong in [
            "foo",
            "foo=",
            "=1",
            "FOO=1",
            "foo.bar=1",
            "foo =1",
            "foo@=1",
            "@foo=1",
            "foo@@bar=1",
            "foo@bar@baz=1",
            "foo@1=1",
            "foo=1=2",
            &format!("{key}=1"),
            &format!("k={value}"),
            &format!("{tenant}@v=1"),
            &format!("t@{}=1", "v".repeat(15)),
        ] {
            assert!(told(&["good=1", wrong]).is_empty(), "{wrong}");
        }
    }

    #[test]
    fn there_are_32_members_at_most() {
        let members = |count: usize| (0..count).map(|number| format!("a{number}=1")).collect::<Vec<_>>().join(",");

        assert_eq!(told(&[&members(32)]).len(), 32);
        assert!(told(&[&members(33)]).is_empty());
    }
}
