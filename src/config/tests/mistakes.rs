//! Mistakes of every sort, each with its place, all at once.

use super::*;

#[test]
fn ten_mistakes_are_ten_located_errors() {
    let text = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:8080"}]
  timeouts: {headr: 5s, body: 30}
  limits: {body: 10MB}
upstreams:
  users: {endpoints: ["10.0.0.1:80", "10.0.0.1:80"], balance: round_robbin}
filters:
  stamp: {version_heade: {value: v1}}
routes:
  - {name: a, path: "/a/**", upstream: user}
  - {name: a, path: /a/b, redirect: {to: "/x/{rest}"}}
  - {name: c, path: "/c/**/d", respond: {status: 200}}
  - {name: d, path: /d, upstream: users, filters: [stmp], methods: [get]}
"#;

    let found = problems(text);

    assert_located(
        &found,
        &[
            ("5:14", "headr"),
            ("5:31", "30"),
            ("6:18", "10MB"),
            ("8:63", "round_robbin"),
            ("10:11", "version_heade"),
            ("12:40", "there is no upstream `user`"),
            ("13:12", "two routes are named `a`"),
            ("13:42", "rest"),
            ("14:21", "is not a valid path"),
            ("15:52", "there is no filter `stmp`"),
            ("15:69", "`get` is not a method"),
        ],
    );
    assert!(found.iter().any(|problem| problem.contains("did you mean `users`?")), "{found:#?}");
}

#[test]
fn mistakes_in_tokens_and_roles_have_their_places() {
    let text = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:8080"}]
filters:
  login:
    jwt:
      issuer: []
      audience: shop
      algorithms: [ES256]
      keys: {jwks: {file: keys.json}}
  none:
    jwt: {issuer: a, audience: b, algorithms: [none], keys: {jwks: {file: keys.json}}}
  mixed:
    jwt:
      issuer: a
      audience: b
      algorithms: [ES256, HS256]
      keys: {jwks: {url: "ftp://x"}}
      from: [query.token]
      claim_headers: {X-A: header.x, Host: claim.sub, "X B": claim.b}
  roles:
    rbac:
      claim: roles
      roles:
        a: [b, GET /x]
        b: [c, nobody]
        c: [a]
routes:
  - {name: a, path: /, respond: {}, filters: [login, roles]}
"#;

    let found = problems(text);

    assert_located(
        &found,
        &[
            ("8:15", "empty list"),
            ("13:48", "`none` is not one of"),
            ("18:27", "HS256 is signed with a secret"),
            ("19:26", "neither http:// nor https://"),
            ("20:14", "`query.token`"),
            ("21:28", "write claim.NAME"),
            ("21:44", "`Host`"),
            ("21:62", "not a header name"),
            ("26:13", "inherits from itself: a → b → c → a"),
            ("27:16", "there is no role `nobody`"),
        ],
    );
    assert_eq!(found.iter().filter(|problem| problem.contains("inherits from itself")).count(), 1, "{found:#?}");
}

#[test]
fn an_open_admin_address_needs_a_token_that_is_never_shown() {
    let open = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:1"}]
  admin: "0.0.0.0:9901"
"#;
    let found = problems(open);
    assert!(found.iter().any(|problem| problem.contains("needs a token")), "{found:?}");

    let file = std::env::temp_dir().join(format!("frontgate-secret-{}", std::process::id()));
    std::fs::write(&file, "hush-hush\n").expect("a file");
    let locked = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:1"}]
  admin:
    address: "0.0.0.0:9901"
    token: {file: $FILE}
"#
    .replace("$FILE", &file.display().to_string());
    let loaded = loaded(&locked);
    let token = loaded.config.server.admin.as_ref().and_then(|admin| admin.token.clone()).expect("a token");
    let read = loaded.secret(&token);
    std::fs::remove_file(&file).expect("removed");

    assert_eq!(read.as_deref(), Ok("hush-hush"));
    assert!(!serde_json::to_string(&loaded.config).expect("JSON").contains("hush"));
    let missing = crate::snapshot::opened(super::loaded(&locked)).expect_err("no token").render(false);
    assert!(missing.contains("a.yaml:7:19") && missing.contains("cannot be read: it does not exist"), "{missing}");
}
