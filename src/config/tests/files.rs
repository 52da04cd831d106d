//! Files, directories of them, and the environment.

use super::*;

#[test]
fn a_directory_unites_maps_and_refuses_duplicates() {
    let folder = std::env::temp_dir().join(format!("frontgate-directory-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file");
    write(
        "10.yaml",
        r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:8080"}]
upstreams:
  a: {endpoints: ["1.1.1.1:1"]}
routes:
  - {name: a, path: /a, upstream: a}
"#,
    );
    write(
        "20.yaml",
        r#"
upstreams:
  b: {endpoints: ["1.1.1.1:2"]}
routes:
  - {name: b, path: /b, upstream: b}
"#,
    );
    write("ignored.txt", "{");

    let both = load(Some(&folder));
    write(
        "30.yaml",
        r#"
upstreams:
  b: {endpoints: ["1.1.1.1:3"]}
server:
  threads: 2
"#,
    );
    let twice = load(Some(&folder));
    std::fs::remove_dir_all(&folder).expect("removed");

    let both = both.unwrap_or_else(|found| panic!("{}", found.render(false)));
    assert_eq!(both.config.upstreams.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(both.config.routes.iter().map(|route| route.name.value.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let words = twice.expect_err("two of each").render(false);
    assert!(words.contains("`b` is defined twice in `upstreams`"), "{words}");
    assert!(words.contains("`server`") && words.contains("one file only"), "{words}");
}

#[test]
fn the_annotated_example_is_good() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/frontgate.yaml");

    let loaded = load(Some(&path)).unwrap_or_else(|found| panic!("{}", found.render(false)));

    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings.render(false));
}

#[test]
fn variables_of_the_environment_are_values_and_never_yaml() {
    let env = |name: &str| match name {
        "PORT" => Some("9000".to_owned()),
        "TRICK" => Some("x\"}, {name: evil".to_owned()),
        _ => None,
    };
    let text = r#"
version: 1
server:
  listeners: [{address: "127.0.0.1:${PORT}"}]
  timeouts: {header: "${WAIT:-7s}"}
routes:
  - {name: a, path: /, respond: {body: "${TRICK} $${PORT}"}}
"#;
    let source = |text: &str| vec![Source { name: "a.yaml".into(), text: text.into() }];

    let loaded = load_sources(source(text), Vec::new(), &env).expect("a good configuration");

    assert_eq!(loaded.config.server.listeners[0].address.port(), 9000);
    assert_eq!(loaded.config.server.timeouts.header.0.as_secs(), 7);
    let model::Target::Respond(respond) = &loaded.config.routes[0].target else { panic!("a fixed answer") };
    assert_eq!(respond.body.as_ref().map(|body| body.value.as_str()), Some("x\"}, {name: evil ${PORT}"));
    let found = load_sources(source(&text.replace("TRICK", "UNSET")), Vec::new(), &env).expect_err("an unset variable");
    assert!(found.items.iter().any(|item| item.message.contains("UNSET") && item.place.is_some()), "{}", found.render(false));
}
