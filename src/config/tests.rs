//! Whole texts in, every problem out.

use base64::Engine;

use super::*;

const HEAD: &str = "version: 1\nserver: {listeners: [{address: \"127.0.0.1:8080\"}]}\n";

fn problems(text: &str) -> Vec<String> {
    match load_text("a.yaml", text) {
        Ok(loaded) => {
            let items = &loaded.warnings.items;
            items.iter().map(|item| format!("warning: {}", item.message)).collect()
        }
        Err(found) => {
            let told = |item: &Diagnostic| {
                let place = item.place.as_ref().map_or("?".to_owned(), |at| {
                    let (line, column) = found.sources[at.file].line_column(at.range.start);
                    format!("{line}:{column}")
                });
                format!("{place} {}{}", item.message, item.help.as_ref().map_or(String::new(), |help| format!(" ({help})")))
            };
            found.items.iter().map(told).collect()
        }
    }
}

#[test]
fn ten_mistakes_are_ten_located_errors() {
    let text = "version: 1
server:
  listeners: [{address: \"127.0.0.1:8080\"}]
  timeouts: {headr: 5s, body: 30}
  limits: {body: 10MB}
upstreams:
  users: {endpoints: [\"10.0.0.1:80\", \"10.0.0.1:80\"], balance: round_robbin}
filters:
  stamp: {version_heade: {value: v1}}
routes:
  - {name: a, path: \"/a/**\", upstream: user}
  - {name: a, path: /a/b, redirect: {to: \"/x/{rest}\"}}
  - {name: c, path: \"/c/**/d\", respond: {status: 200}}
  - {name: d, path: /d, upstream: users, filters: [stmp], methods: [get]}
";
    let found = problems(text);
    println!("{}", load_text("a.yaml", text).expect_err("problems").render(false));

    for (place, words) in [
        ("4:14", "headr"),
        ("4:31", "30"),
        ("5:18", "10MB"),
        ("7:63", "round_robbin"),
        ("9:11", "version_heade"),
        ("11:40", "there is no upstream `user`"),
        ("12:12", "two routes are named `a`"),
        ("12:42", "rest"),
        ("13:21", "is not a path"),
        ("14:52", "there is no filter `stmp`"),
        ("14:69", "`get` is not a method"),
    ] {
        assert!(
            found.iter().any(|problem| problem.starts_with(&format!("{place} ")) && problem.contains(words)),
            "{place} {words}:\n{found:#?}"
        );
    }
    assert!(found.iter().any(|problem| problem.contains("did you mean `users`?")), "{found:#?}");
}

#[test]
fn duplicates_of_keys_names_and_routes_are_refused() {
    for (text, words) in [
        ("routes: []\nroutes: []\n", "routes"),
        ("upstreams: {a: {endpoints: [\"1.1.1.1:1\"]}, a: {endpoints: [\"1.1.1.1:1\"]}}\n", "a"),
        ("routes: [{name: a, path: \"/{x}\", respond: {}}, {name: b, path: \"/{y}\", respond: {}}]\n", "take the same requests"),
        (
            "routes: [{name: a, path: /, methods: [GET], respond: {}}, {name: b, path: /, methods: [POST, GET], respond: {}}]\n",
            "take the same",
        ),
    ] {
        let found = problems(&format!("{HEAD}{text}"));
        assert!(found.iter().any(|problem| problem.contains(words)), "{text}: {found:?}");
    }
    let fine = "routes: [{name: a, path: /, methods: [GET], respond: {}}, {name: b, path: /, methods: [POST], respond: {}}]\n";
    assert_eq!(problems(&format!("{HEAD}{fine}")), Vec::<String>::new());
}

#[test]
fn variables_of_the_environment_are_values_and_never_yaml() {
    let env = |name: &str| match name {
        "PORT" => Some("9000".to_owned()),
        "TRICK" => Some("x\"}, {name: evil".to_owned()),
        _ => None,
    };
    let text = "version: 1\nserver: {listeners: [{address: \"127.0.0.1:${PORT}\"}], timeouts: {header: \"${WAIT:-7s}\"}}\n\
                routes: [{name: a, path: /, respond: {body: \"${TRICK} $${PORT}\"}}]\n";
    let source = |text: &str| vec![Source { name: "a.yaml".into(), text: text.into() }];

    let loaded = load_sources(source(text), &env).expect("a good configuration");

    assert_eq!(loaded.config.server.listeners[0].address.port(), 9000);
    assert_eq!(loaded.config.server.timeouts.header.0.as_secs(), 7);
    let body = loaded.config.routes[0].respond.as_ref().and_then(|respond| respond.body.as_ref()).map(|body| body.value.as_str());
    assert_eq!(body, Some("x\"}, {name: evil ${PORT}"));
    let found = load_sources(source(&text.replace("TRICK", "UNSET")), &env).expect_err("an unset variable");
    assert!(found.items.iter().any(|item| item.message.contains("UNSET") && item.place.is_some()), "{}", found.render(false));
}

/// How long this thread has been on a processor: a busy machine makes nothing of it longer.
fn busy() -> std::time::Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    std::time::Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number"))
}

#[test]
fn a_bomb_of_aliases_is_refused_quickly() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let alias = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(", ")));
    }
    let began = busy();

    assert!(load_text("bomb.yaml", &text).is_err());

    assert!(busy() - began < std::time::Duration::from_secs(5), "{:?}", busy() - began);
}

#[test]
fn an_open_admin_address_needs_a_token_that_is_never_shown() {
    let found = problems("version: 1\nserver: {listeners: [{address: \"127.0.0.1:1\"}], admin: \"0.0.0.0:9901\"}\n");
    assert!(found.iter().any(|problem| problem.contains("needs a token")), "{found:?}");

    let file = std::env::temp_dir().join(format!("frontgate-secret-{}", std::process::id()));
    std::fs::write(&file, "hush-hush\n").expect("a file");
    let text =
        format!("{}\n", HEAD.replace("}]}", &format!("}}], admin: {{address: \"0.0.0.0:9901\", token: {{file: {}}}}}}}", file.display())));
    let loaded = load_text("a.yaml", &text).unwrap_or_else(|found| panic!("{}", found.render(false)));
    let token = loaded.config.server.admin.as_ref().and_then(|admin| admin.token.clone()).expect("a token");
    let read = loaded.secret(&token);
    std::fs::remove_file(&file).expect("removed");

    assert_eq!(read.as_deref(), Ok("hush-hush"));
    assert!(!serde_json::to_string(&loaded.config).expect("JSON").contains("hush"));
    assert!(problems(&text).iter().any(|problem| problem.contains("cannot be read")));
}

#[test]
fn a_directory_unites_maps_and_refuses_what_stands_twice() {
    let folder = std::env::temp_dir().join(format!("frontgate-directory-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file");
    write("10.yaml", &format!("{HEAD}upstreams: {{a: {{endpoints: [\"1.1.1.1:1\"]}}}}\nroutes: [{{name: a, path: /a, upstream: a}}]\n"));
    write("20.yaml", "upstreams: {b: {endpoints: [\"1.1.1.1:2\"]}}\nroutes: [{name: b, path: /b, upstream: b}]\n");
    write("ignored.txt", "{");

    let both = load(Some(&folder));
    write("30.yaml", "upstreams: {b: {endpoints: [\"1.1.1.1:3\"]}}\nserver: {threads: 2}\n");
    let twice = load(Some(&folder));
    std::fs::remove_dir_all(&folder).expect("removed");

    let both = both.unwrap_or_else(|found| panic!("{}", found.render(false)));
    assert_eq!(both.config.upstreams.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(both.config.routes.iter().map(|route| route.name.value.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let words = twice.expect_err("two of each").render(false);
    assert!(words.contains('b') && words.contains("server"), "{words}");
}

#[test]
fn the_annotated_example_is_good() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/frontgate.yaml");

    let loaded = load(Some(&path)).unwrap_or_else(|found| panic!("{}", found.render(false)));

    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings.render(false));
}

#[test]
fn filters_stand_where_they_can_work() {
    let filters = "filters:
  login: {jwt: {issuer: any, audience: any, algorithms: [ES256], keys: {jwks: {file: keys.json}}}}
  watch: {jwt: {mode: observe, issuer: any, audience: any, algorithms: [ES256], keys: {jwks: {file: keys.json}}}}
  admins: {rbac: {claim: roles, any_of: [admin]}}
  counts: {rbac: {mode: observe, claim: roles, any_of: [admin]}}
  web: {cors: {origins: [https://shop.example]}}
  more: {cors: {origins: [\"*\"]}}
";
    let all = "  - {name: used, path: /used, respond: {}, filters: [web, login, admins]}\n  \
               - {name: seen, path: /seen, respond: {}, filters: [more, watch, counts]}\n";
    for (server, list, words) in [
        ("", "[admins]", "no filter before it verifies"),
        ("", "[admins, login]", "no filter before it verifies"),
        ("", "[login, login]", "stands twice"),
        ("", "[login, watch]", "at most one `jwt`"),
        ("", "[watch, admins]", "only observes"),
        ("", "[watch, counts]", ""),
        ("", "[login, web]", "can refuse"),
        ("", "[web, more, login]", "at most one `cors`"),
        ("", "[{trim: {profiles: {}, fields: query.fields}}, web]", "can refuse"),
        ("", "[web, login, admins, counts]", ""),
        ("", "[web, login, {rbac: {claim: roles, none_of: [x]}}]", ""),
        ("", "[lgoin, admins]", "there is no filter `lgoin`"),
        ("filters: [login]", "[admins]", ""),
        ("filters: [login]", "[watch]", "at most one `jwt`"),
        ("filters: [admins, login]", "[]", "no filter before it verifies"),
    ] {
        let routes = if server.is_empty() { all } else { "  - {name: seen, path: /seen, respond: {}}\n" };
        let server = server.replace("filters", ", filters");
        let text = format!(
            "version: 1\nserver: {{listeners: [{{address: \"127.0.0.1:8080\"}}]{server}}}\n{filters}routes:\n{routes}  \
             - {{name: a, path: /, respond: {{}}, filters: {list}}}\n"
        );
        let found: Vec<String> = problems(&text).into_iter().filter(|problem| !problem.contains("nothing uses")).collect();
        if words.is_empty() {
            assert_eq!(found, Vec::<String>::new(), "{server} {list}");
        } else {
            assert!(found.iter().any(|problem| problem.contains(words)), "{server} {list}: {found:?}");
            assert_eq!(found.len(), 1, "{server} {list}: {found:?}");
        }
    }
}

#[test]
fn an_upstream_that_only_a_fallback_asks_is_used() {
    let text = |fallback: &str| {
        format!(
            "{HEAD}upstreams: {{a: {{endpoints: [\"1.1.1.1:1\"]}}, b: {{endpoints: [\"1.1.1.1:2\"]}}}}\n\
             routes: [{{name: a, path: /, upstream: a, filters: [{{circuit_breaker: {{fallback: [{fallback}]}}}}]}}]\n"
        )
    };

    assert_eq!(problems(&text("upstream: b")), Vec::<String>::new());
    assert_eq!(problems(&text("respond: {}")), ["warning: nothing uses `b`"]);
}

#[test]
fn filters_state_where_they_can_work_and_what_would_go_wrong() {
    let filters = "  login: {jwt: {issuer: any, audience: any, algorithms: [ES256], keys: {jwks: {file: keys.json}}}}
  guard: {circuit_breaker: {}}
  keeper: {circuit_breaker: {fallback: [{cached: {max_age: 1m}}]}}
  own: {circuit_breaker: {fallback: [{cached: {max_age: 1m, per: claim.sub}}]}}
  slim: {trim: {profiles: {mobile: {drop: [a]}}}}
  by_user: {rate_limit: {key: claim.sub, rate: 1/s}}
";
    for (list, words) in [
        ("[login, slim, by_user, guard]", ""),
        ("[guard, slim]", "`guard` must be the last filter: its fallbacks"),
        ("[slim, {trim: {profiles: {tablet: {drop: [b]}}}}]", "at most one `trim`"),
        ("[{circuit_breaker: {}}, guard]", "must be the last filter"),
        ("[keeper]", ""),
        ("[login, keeper]", "one caller's cached answer"),
        ("[login, own]", ""),
        ("[own]", "`claim.sub` is read by `own`, and no filter before it verifies a token"),
        ("[by_user, login]", "`claim.sub` is read by `by_user`"),
    ] {
        let text = format!("{HEAD}filters:\n{filters}routes:\n  - {{name: a, path: /, respond: {{}}, filters: {list}}}\n");

        let found: Vec<String> = problems(&text).into_iter().filter(|problem| !problem.contains("nothing uses")).collect();

        match words {
            "" => assert_eq!(found, Vec::<String>::new(), "{list}"),
            words => assert!(found.iter().any(|problem| problem.contains(words)), "{list}: {found:?}"),
        }
    }
}

#[test]
fn mistakes_in_tokens_and_roles_have_their_places() {
    let text = "version: 1
server: {listeners: [{address: \"127.0.0.1:8080\"}]}
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
      keys: {jwks: {url: \"ftp://x\"}}
      from: [query.token]
      claim_headers: {X-A: header.x, Host: claim.sub, \"X B\": claim.b}
  roles:
    rbac:
      claim: roles
      roles:
        a: [b, GET /x]
        b: [c, nobody]
        c: [a]
routes:
  - {name: a, path: /, respond: {}, filters: [login, roles]}
";
    let found = problems(text);

    for (place, words) in [
        ("6:15", "empty list"),
        ("11:48", "`none` is none of"),
        ("16:27", "HS256 is signed with a secret"),
        ("17:26", "neither http:// nor https://"),
        ("18:14", "`query.token`"),
        ("19:28", "write claim.NAME"),
        ("19:44", "`Host`"),
        ("19:62", "not a header name"),
        ("24:13", "inherits from itself: a → b → c → a"),
        ("25:16", "there is no role `nobody`"),
    ] {
        assert!(
            found.iter().any(|problem| problem.starts_with(&format!("{place} ")) && problem.contains(words)),
            "{place} {words}:\n{found:#?}"
        );
    }
    assert_eq!(found.iter().filter(|problem| problem.contains("inherits from itself")).count(), 1, "{found:#?}");
}

#[test]
fn ten_thousand_routes_load_in_a_second() {
    let mut text = format!("{HEAD}upstreams: {{a: {{endpoints: [\"1.1.1.1:1\"]}}}}\nroutes:\n");
    for number in 0..10_000 {
        text.push_str(&format!("  - name: r{number}\n    path: /api/v1/r{number}/{{id}}/**\n    methods: [GET, POST]\n    upstream: a\n"));
    }
    let began = std::time::Instant::now();

    let loaded = load_text("many.yaml", &text).unwrap_or_else(|found| panic!("{}", found.render(false)));
    let read = began.elapsed();
    let snapshot = crate::snapshot::Snapshot::compile(
        Loaded { config: Config { telemetry: model::Telemetry { access_log: model::AccessLog::Off }, ..loaded.config.clone() }, ..loaded },
        None,
        &crate::telemetry::Metrics::new(),
        None,
    );

    println!("10,000 routes: read and checked in {read:?}, compiled in {:?}", began.elapsed() - read);
    assert_eq!(snapshot.map(|snapshot| snapshot.routes.len()), Ok(10_000));
    // A debug build is an order of magnitude slower than what is shipped.
    let limit = if cfg!(debug_assertions) { 15 } else { 1 };
    assert!(began.elapsed().as_secs() < limit, "{:?}", began.elapsed());
}

#[test]
fn no_document_of_the_yaml_collection_brings_the_loader_down() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/yaml-test-suite/cases.jsonl");
    let Ok(cases) = std::fs::read_to_string(path) else {
        eprintln!("SKIPPED: the YAML collection is not beside the project");
        return;
    };
    let mut count = 0;
    for line in cases.lines() {
        let case: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let bytes = base64::engine::general_purpose::STANDARD.decode(case["yaml_b64"].as_str().expect("base64")).expect("base64");
        let text = String::from_utf8_lossy(&bytes);
        assert!(load_text("case.yaml", &text).is_err(), "no document of it is a configuration: {case}");
        count += 1;
    }
    println!("{count} documents");
    assert!(count > 300);
}
