use super::*;

/// What is wrong with a `discover`, without what depends on how this was built.
fn of_discover(discover: &str) -> Vec<String> {
    let text = format!("{HEAD}upstreams:\n  a:\n    discover: {discover}\nroutes: [{{name: a, path: /, upstream: a}}]\n");
    problems(&text).into_iter().filter(|problem| !problem.contains("built without")).collect()
}

#[test]
fn an_upstream_needs_endpoints_or_one_whole_source_of_them() {
    let without = problems(&format!("{HEAD}upstreams: {{a: {{}}}}\nroutes: [{{name: a, path: /, upstream: a}}]\n"));
    assert_located(&without, &[("5:16", "the upstream `a` has no endpoints: write `endpoints`, or `discover`")]);
    for (discover, place, words) in [
        ("{}", "7:15", "`discover` of the upstream `a` names no source"),
        ("{file: \"\"}", "7:22", "the name of the file is empty"),
        ("{fiel: a.json}", "7:16", "did you mean `file`?"),
        ("{file: a.json, prefix: /a/}", "7:38", "`prefix` belongs to `etcd`"),
        ("{file: a.json, format: json}", "7:15", "`format` belongs to `etcd`"),
        ("{file: a.json, etcd: {endpoints: [http://a:1]}, prefix: /a/}", "7:36", "`etcd` stands beside `file`"),
        ("{etcd: {endpoints: [http://a:1]}}", "7:15", "needs the `prefix` of the keys"),
        ("{etcd: {endpoints: [http://a:1]}, prefix: /a}", "7:57", "must end with a slash (write /a/)"),
        ("{etcd: {endpoints: []}, prefix: /a/}", "7:22", "`etcd` has no endpoints"),
        ("{etcd: {endpoints: [a:1]}, prefix: /a/}", "7:35", "it begins with neither http:// nor https://"),
        ("{etcd: {endpoints: [http://a]}, prefix: /a/}", "7:35", "it has no port"),
        ("{etcd: {endpoints: [\"http://a:1/x\"]}, prefix: /a/}", "7:35", "nothing follows the port"),
        ("{etcd: {endpoints: [http://a:1, https://b:1]}, prefix: /a/}", "7:47", "all over TLS, or none is"),
        ("{etcd: {endpoints: [http://a:1], tls: {ca: a.pem}}, prefix: /a/}", "7:53", "`tls` is for members with https://"),
        ("{etcd: {endpoints: [https://a:1], tls: {cert: a.pem}}, prefix: /a/}", "7:61", "`cert` and `key` belong together"),
        ("{etcd: {endpoints: [http://a:1], user: a}, prefix: /a/}", "7:54", "`user` needs a `password`"),
        ("{etcd: {endpoints: [http://a:1], password: {env: A}}, prefix: /a/}", "7:64", "`password` needs a `user`"),
        ("{etcd: {endpoints: [http://a:1]}, prefix: /a/, format: xml}", "7:70", "`xml` is not one of"),
    ] {
        assert_located(&of_discover(discover), &[(place, words)]);
    }
    for good in [
        "{file: a.json}",
        "{etcd: {endpoints: [http://a:1]}, prefix: /a/}",
        "{etcd: {endpoints: [\"https://[::1]:1\"], tls: {}}, prefix: /a/, format: kratos}",
    ] {
        assert_eq!(of_discover(good), Vec::<String>::new(), "{good}");
    }
}

#[test]
fn a_source_that_is_not_built_in_is_no_unknown_key() {
    let text = format!(
        "{HEAD}upstreams: {{a: {{discover: {{etcd: {{endpoints: [http://a:1]}}, prefix: /a/}}}}}}\nroutes: [{{name: a, path: /, upstream: a}}]\n"
    );

    let found = problems(&text);

    match cfg!(feature = "etcd") {
        true => assert!(found.is_empty(), "{found:#?}"),
        false => assert_located(&found, &[("5:34", "this frontgate was built without `etcd`")]),
    }
}
