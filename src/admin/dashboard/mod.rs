//! The dashboard: one page, and the numbers that it asks for again and again.
//!
//! The page says nothing of the gateway, so it is served without the token, which it asks for and keeps in its own memory. It is one file, with
//! a style and a script of ours; its policy lets no other run, and lets it ask nobody but the address that it came from. What it shows is read
//! from what is counted anyhow, on the operators' thread.

mod numbers;

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderName, HeaderValue, StatusCode};
use pingora_http::RequestHeader;

use self::numbers::Numbers;
use super::Admin;
use super::answer::{Answer, answer, json};
use super::parameter::parameter;

/// The script, a file for each of its tasks: in this order each knows those before it.
const SCRIPT: &str = concat!(
    "\"use strict\";\n(() => {\n",
    include_str!("script/state.js"),
    include_str!("script/words.js"),
    include_str!("script/pieces.js"),
    include_str!("script/differences.js"),
    include_str!("script/sagas.js"),
    include_str!("script/shown.js"),
    include_str!("script/asking.js"),
    include_str!("script/reader.js"),
    "})();\n"
);

/// The page with its style and its script in it, and the policy that lets these two run.
struct Page {
    text: String,
    policy: HeaderValue,
}

static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let style = include_str!("style.css");
    let text = include_str!("page.html").replace("/* style */", style).replace("/* script */", SCRIPT);
    let hash = |text: &str| base64::engine::general_purpose::STANDARD.encode(digest(&SHA256, text.as_bytes()));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash(SCRIPT),
        hash(style)
    );
    Page { text, policy: HeaderValue::try_from(policy).expect("it is of visible characters") }
});

/// The page.
pub(super) fn page(_: &Admin, _: &RequestHeader) -> Answer {
    let mut answer = answer(StatusCode::OK, "text/html; charset=utf-8", PAGE.text.as_bytes());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, PAGE.policy.clone());
    let said: [(HeaderName, &'static str); 5] = [
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    headers.extend(said.map(|(name, value)| (name, HeaderValue::from_static(value))));
    answer
}

/// What it shows. `match` in the query is what the names of the routes are to contain: there may be more of them than are told at once.
pub(super) async fn numbers(admin: &Admin, head: &RequestHeader) -> Answer {
    let wanted = parameter(head, "match").unwrap_or_default().to_lowercase();
    let stuck = numbers::stuck_sagas(&admin.gateway).await;
    let mut answer = json(StatusCode::OK, &Numbers::of(&admin.gateway, &wanted, stuck));
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_one_file_and_its_policy_knows_what_is_in_it() {
        let text = &PAGE.text;
        let inner = |tag: &str| {
            let (_, rest) = text.split_once(&format!("<{tag}>")).expect("the element");
            rest.split_once(&format!("</{tag}>")).expect("its end").0
        };

        for (tag, source) in [("style", "style-src"), ("script", "script-src")] {
            assert_eq!(text.matches(&format!("<{tag}")).count(), 1);
            let hash = base64::engine::general_purpose::STANDARD.encode(digest(&SHA256, inner(tag).as_bytes()));
            let policy = String::from_utf8_lossy(PAGE.policy.as_bytes());
            assert!(policy.contains(&format!("{source} 'sha256-{hash}'")), "{tag}: {policy}");
        }
        for outside in
            ["http:", "https:", "src=", "@import", "url(", "innerHTML", "insertAdjacentHTML", "document.write", "eval(", " style="]
        {
            let known =
                text.matches(outside).count() - text.matches("http://www.w3.org/2000/svg").count() * usize::from(outside == "http:");
            assert_eq!(known, 0, "{outside}");
        }
    }
}
