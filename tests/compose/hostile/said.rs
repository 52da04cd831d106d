//! What a service says to speak for others: members, segments, parameters and headers.

use super::*;

#[test]
fn members_of_others_cannot_be_said_by_a_service() {
    let bodies: &[(&str, &str)] = &[
        ("closed-early", r#"{"a":1},"admin":true,"b":{"c":1}"#),
        ("closed-twice", r#"{"a":1}},"admin":{"b":1"#),
        ("two-values", r#"{"a":1} {"admin":true}"#),
        ("text-behind", r#"{"a":1} x"#),
        ("comment", r#"{"a":1}/*"#),
        ("bom", "\u{feff}{\"a\":1}"),
        ("zero-behind", "{\"a\":1}\0"),
        ("quote-in-name", r#"{"a"b":1}"#),
        ("bare", r#"admin"#),
        ("nan", r#"{"a":NaN}"#),
        ("line-separator", "{\"a\":\"\u{2028}\"}"),
        ("surrogate", r#"{"a":"\ud800"}"#),
    ];
    let scene = Scene::start("members", |case, stream| {
        let body = bodies.iter().find(|(name, _)| *name == case).map_or(
            match case {
                "own-names" => r#"{"role":"admin","r\u006fle":"root","\u0063ode":9,"a":1,"code":[1],"role":{}}"#,
                "doubled" => r#"{"a":1,"a":2,"\u0061":3}"#,
                "list" => r#"[{"role":"admin"}]"#,
                "scalar" => r#""role""#,
                _ => GOOD,
            },
            |(_, body)| body,
        );
        json(stream, body.as_bytes())
    });

    for (case, body) in bodies {
        let there = scene.both("both", case, Some(body.as_bytes()));
        assert_eq!(there, strict::value(body.as_bytes()).is_some(), "{case}");
        let reply = scene.ask(&format!("/spread/{case}"));
        assert!(reply.status == 502 || there && reply.status == 200, "{case}: {}", reply.text());
        assert!(!reply.text().contains("admin"), "{case}: {}", reply.text());
    }

    // What the answer names itself wins, however a service spells its name: there is one of each.
    let reply = scene.ask("/spread/own-names");
    let found = members("own-names", &reply);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["role", "a", "code"], "{}", reply.text());
    assert_eq!((found[0].1.as_str(), found[2].1.as_str()), ("\"viewer\"", "0"), "{}", reply.text());
    // What has no members adds none.
    for case in ["list", "scalar"] {
        let reply = scene.ask(&format!("/spread/{case}"));
        if reply.status == 200 {
            assert_eq!(members(case, &reply).len(), 2, "{case}: {}", reply.text());
        } else {
            reply.is_problem(502);
        }
    }
    // A service that contradicts itself does so within its own part.
    assert!(scene.both("both", "doubled", Some(br#"{"a":1,"a":2,"\u0061":3}"#)));
}

/// Whether a value is none for a path: a server that decodes its slashes would go elsewhere, or nowhere.
fn leads_astray(value: &str) -> bool {
    value.is_empty() || value.contains(['\r', '\n', '\0']) || value.split('/').any(|part| matches!(part, "." | ".."))
}

#[test]
fn values_of_a_service_stay_one_segment_one_parameter_one_header() {
    let values = [
        "..",
        ".",
        "",
        "../../admin",
        "a/b",
        "a?admin=1",
        "a#b",
        "a&admin=1",
        "a;b=1",
        "a%2f..%2fb",
        "a b",
        "\r\nX-Admin: 1",
        "a\r\n\r\nGET /admin HTTP/1.1\r\n",
        "\0",
        "é",
        "//evil.example",
        "http://evil.example/",
        "{x}",
        "${HOME}",
        "a+b",
        "a=b",
    ];
    let scene = Scene::start("values", move |case, stream| match case.parse::<usize>() {
        Ok(number) => mock::answer(stream, 200, &serde_json::json!({"v": values[number]})),
        Err(_) => match case {
            "object" => json(stream, br#"{"v":{"a":1}}"#),
            _ => json(stream, br#"{"v":["a/b","c,d","&e"]}"#),
        },
    });

    for (number, value) in values.into_iter().enumerate() {
        let reply = scene.ask(&format!("/chain/{number}"));
        assert_eq!(reply.status, 200, "{value:?}: {}", reply.text());
        let json = reply.json();
        if let Some(path) = json["path"].as_str() {
            let middle =
                path.strip_prefix("/path/").and_then(|rest| rest.strip_suffix("/end")).unwrap_or_else(|| panic!("{value:?}: {path}"));
            assert!(!middle.contains(['/', '?', '#']) && ![".", "..", ""].contains(&middle), "{value:?}: {path}");
            assert!(!leads_astray(value), "{value:?}: {path}");
            assert_eq!(mock::decoded(middle, false), value, "{path}");
        } else {
            assert!(leads_astray(value), "{value:?}: {}", reply.text());
        }
        if let Some(query) = json["query"].as_str() {
            let (_, query) = query.split_once('?').unwrap();
            assert_eq!(mock::parameters(query), serde_json::json!({"v": [value], "end": ["1"]}), "{value:?}: {query}");
        }
        let breaks = value.contains(['\r', '\n', '\0']);
        let header = &json["header"];
        assert!(header["x-admin"].is_null(), "{value:?}: {header}");
        assert_eq!(header.is_null(), breaks, "{value:?}: {header}");
    }
    // What is no text is none in a path either.
    let json = scene.ask("/chain/object").json();
    assert!(json["path"].is_null(), "{json}");
    let json = scene.ask("/chain/list").json();
    assert_eq!(json["path"], "/path/a%2Fb,c%2Cd,%26e/end");
    for request in scene.good.received() {
        let line = request.line();
        assert!(["/good", "/path/", "/query?", "/header"].iter().any(|known| line.starts_with(&format!("GET {known}"))), "{line}");
    }
}

#[test]
fn headers_of_a_service_stay_behind() {
    let more = "Set-Cookie: session=stolen\r\nX-BFF-Complete: maybe\r\nX-BFF-Missing: nobody\r\nX-Request-Id: theirs\r\nLocation: http://evil.example/\r\n\
                Access-Control-Allow-Origin: *\r\nContent-Disposition: attachment\r\nCache-Control: public, max-age=31536000\r\nETag: \"1\"\r\nServer: evil\r\n\
                X-Powered-By: evil\r\nStrict-Transport-Security: max-age=1\r\nWWW-Authenticate: Basic\r\nRetry-After: 1000000\r\nTrailer: X-Late\r\n\
                Clear-Site-Data: \"*\"\r\nRefresh: 0\r\nLink: <http://evil.example/>; rel=preload\r\n";
    let scene = Scene::start("headers", move |case, stream| {
        let status = case.parse().unwrap_or(200);
        mock::send(stream, status, "application/json", more, br#"{"secret":"of the service"}"#)
    });
    let known = [
        "content-type",
        "content-length",
        "x-bff-complete",
        "x-bff-missing",
        "cache-control",
        "x-request-id",
        "date",
        "server",
        "via",
        "connection",
        "vary",
        "retry-after",
        "x-content-type-options",
        "www-authenticate",
    ];

    for path in
        ["/both/200", "/both/500", "/needed/200", "/needed/401", "/needed/404", "/needed/429", "/needed/500", "/needed/302", "/spread/200"]
    {
        let reply = scene.ask(path);

        let names: Vec<String> =
            reply.head.lines().skip(1).filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_ascii_lowercase()).collect();
        let unknown: Vec<_> = names.iter().filter(|name| !known.contains(&name.as_str())).collect();
        assert!(unknown.is_empty(), "{path}: {unknown:?}\n{}", reply.head);
        assert!(
            !reply.head.contains("evil")
                && !reply.head.contains("Basic")
                && !reply.head.contains("theirs")
                && !reply.head.contains("maybe"),
            "{path}: {}",
            reply.head
        );
        assert_eq!(
            names.iter().filter(|name| *name == "x-bff-complete").count(),
            usize::from(reply.status == 200),
            "{path}: {}",
            reply.head
        );
        if reply.status != 200 {
            assert!(!reply.text().contains("secret"), "{path}: {}", reply.text());
            reply.is_problem(reply.status);
        }
        // The good one says nothing of caches, and so does nobody.
        let cached = reply.header("cache-control");
        assert!(cached.is_none() || cached == Some("no-store") || path == "/spread/200", "{path}: {}", reply.head);
    }
}
