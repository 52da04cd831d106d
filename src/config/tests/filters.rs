//! Where a filter can work, and together with which others.

use super::*;

/// A filter of each sort, by name.
const DEFINITIONS: [(&str, &str); 6] = [
    ("login", "{jwt: {issuer: any, audience: any, algorithms: [ES256], keys: {jwks: {file: keys.json}}}}"),
    ("watch", "{jwt: {mode: observe, issuer: any, audience: any, algorithms: [ES256], keys: {jwks: {file: keys.json}}}}"),
    ("admins", "{rbac: {claim: roles, any_of: [admin]}}"),
    ("counts", "{rbac: {mode: observe, claim: roles, any_of: [admin]}}"),
    ("web", "{cors: {origins: [https://shop.example]}}"),
    ("more", r#"{cors: {origins: ["*"]}}"#),
];

/// What is wrong with a route with these filters, after these of the server. Only those that are used are defined.
fn problems_of(server: &str, route: &str) -> Vec<String> {
    let is_used = |name: &str| [server, route].iter().any(|list| list.split(['[', ',', ' ', ']']).any(|used| used == name));
    let definitions: String =
        DEFINITIONS.iter().filter(|(name, _)| is_used(name)).map(|(name, filter)| format!("  {name}: {filter}\n")).collect();
    let text = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:8080"}]
  filters: $SERVER
filters:
$DEFINITIONS
routes:
  - {name: a, path: /, respond: {}, filters: $ROUTE}
"#;
    problems(&text.replace("$SERVER", server).replace("$DEFINITIONS", &definitions).replace("$ROUTE", route))
}

#[test]
fn filters_are_taken_where_they_can_work() {
    for (server, route) in [
        ("[]", "[watch, counts]"),
        ("[]", "[web, login, admins, counts]"),
        ("[]", "[web, login, {rbac: {claim: roles, none_of: [x]}}]"),
        ("[login]", "[admins]"),
    ] {
        assert_eq!(problems_of(server, route), Vec::<String>::new(), "{server} {route}");
    }
}

#[test]
fn filters_are_refused_where_they_cannot_work() {
    for (server, route, words) in [
        ("[]", "[admins]", "no filter before it verifies"),
        ("[]", "[admins, login]", "no filter before it verifies"),
        ("[]", "[login, login]", "is listed twice"),
        ("[]", "[login, watch]", "at most one `jwt`"),
        ("[]", "[watch, admins]", "only observes"),
        ("[]", "[login, web]", "can refuse"),
        ("[]", "[web, more, login]", "at most one `cors`"),
        ("[]", "[lgoin, admins]", "there is no filter `lgoin`"),
        ("[login]", "[watch]", "at most one `jwt`"),
        ("[admins, login]", "[]", "no filter before it verifies"),
    ] {
        let found = problems_of(server, route);

        assert!(found.iter().any(|problem| problem.contains(words)), "{server} {route}: {found:?}");
        assert_eq!(found.len(), 1, "{server} {route}: {found:?}");
    }
}

#[test]
fn filters_state_where_they_can_work_and_what_would_go_wrong() {
    for (list, words) in [
        ("[login, slim, by_user, guard]", ""),
        ("[guard, slim]", "`guard` must be the last filter: its fallbacks"),
        ("[slim, {trim: {profiles: {tablet: {drop: [b]}}}}]", "at most one `trim`"),
        ("[{trim: {profiles: {}, fields: query.fields}}, web]", "can refuse"),
        ("[{circuit_breaker: {}}, guard]", "must be the last filter"),
        ("[keeper]", ""),
        ("[login, keeper]", "one caller's cached answer"),
        ("[login, own]", ""),
        ("[own]", "`claim.sub` is read by `own`, and no filter before it verifies a token"),
        ("[by_user, login]", "`claim.sub` is read by `by_user`"),
    ] {
        let text = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:8080"}]
filters:
  login: {jwt: {issuer: any, audience: any, algorithms: [ES256], keys: {jwks: {file: keys.json}}}}
  guard: {circuit_breaker: {}}
  keeper: {circuit_breaker: {fallback: [{cached: {max_age: 1m}}]}}
  own: {circuit_breaker: {fallback: [{cached: {max_age: 1m, per: claim.sub}}]}}
  slim: {trim: {profiles: {mobile: {drop: [a]}}}}
  by_user: {rate_limit: {key: claim.sub, rate: 1/s}}
  web: {cors: {origins: [https://shop.example]}}
routes:
  - {name: a, path: /, respond: {}, filters: LIST}
"#
        .replace("LIST", list);

        let found: Vec<String> = problems(&text).into_iter().filter(|problem| !problem.contains("is not used")).collect();

        match words {
            "" => assert_eq!(found, Vec::<String>::new(), "{list}"),
            words => assert!(found.iter().any(|problem| problem.contains(words)), "{list}: {found:?}"),
        }
    }
}
