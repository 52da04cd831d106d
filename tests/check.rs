use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::gateway::simple;
use crate::harness::{PATIENCE, Process, until};

/// A folder of its own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("frontgate-check-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Exit code, standard output and standard error of the binary.
fn run(arguments: &[&str], path: &Path) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_frontgate")).args(arguments).arg(path).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A configuration that is good but for what these keys name.
fn configuration(jwt: &str, to: &str) -> String {
    format!(
        "version: 1
server: {{listeners: [{{address: 127.0.0.1:0}}]}}
filters:
  login:
    jwt:
      issuer: any
      audience: any
      {jwt}
routes:
  - {{name: all, path: \"/**\", respond: {{status: 204}}, filters: [login]}}
telemetry:
  access_log: {{to: {to}}}
"
    )
}

#[test]
fn check_finds_what_run_would_fail_at_and_points_at_the_line() {
    let folder = Folder::new("outside");
    folder.write("short.key", "12345");
    folder.write("no.pem", "hello");
    folder.write("no.json", "{}");
    let fifo = folder.0.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let hs = |source: &str| format!("algorithms: [HS256]\n      keys: {{secret: {source}}}");
    let es = |source: &str| format!("algorithms: [ES256]\n      keys: {{{source}}}");

    for (jwt, to, line, words) in [
        (hs("{env: FRONTGATE_TEST_NOPE}"), "stdout", 9, "the environment variable `FRONTGATE_TEST_NOPE` is not set"),
        (hs("{file: nope.key}"), "stdout", 9, "nope.key` cannot be read: it does not exist"),
        (hs("{file: short.key}"), "stdout", 9, "the secret has 5 bytes"),
        (hs("{file: fifo}"), "stdout", 9, "a pipe (FIFO), not a regular file"),
        (hs("{file: /dev/zero}"), "stdout", 9, "a device, not a regular file"),
        (es("jwks: {file: nope.json}"), "stdout", 9, "nope.json` cannot be read"),
        (es("jwks: {file: no.json}"), "stdout", 9, "it has no list `keys`"),
        (es("public_key: {file: rsa.pub}"), "stdout", 9, "rsa.pub` cannot be read"),
        (es("public_key: {file: no.pem}"), "stdout", 9, "it holds no public key in PEM"),
        (es("jwks: {url: \"http://127.0.0.1:9/\"}"), "{file: nope/access.log}", 13, "nope`: it does not exist"),
        (es("jwks: {url: \"http://127.0.0.1:9/\"}"), "{file: .}", 13, "it is a directory"),
    ] {
        let file = folder.write("frontgate.yaml", configuration(&jwt, to));

        for command in ["check", "run"] {
            let began = Instant::now();
            let (code, _, told) = run(&[command, "-c"], &file);
            assert_eq!(code, Some(78), "{command} {jwt}: {told}");
            assert!(told.contains(words) && told.contains(&format!("frontgate.yaml:{line}:")), "{command} {jwt}: {told}");
            assert!(told.ends_with("1 error\n"), "{told}");
            assert!(began.elapsed() < PATIENCE, "{command} {jwt}");
        }
        let (code, out, told) = run(&["check", "--no-files", "-c"], &file);
        assert_eq!((code, out.as_str()), (Some(0), "the configuration is valid\n"), "{told}");
    }
    assert!(!folder.0.join("nope").exists(), "nothing is created");
}

#[test]
fn the_admin_token_is_opened_too_and_a_log_file_is_not_created() {
    let folder = Folder::new("token");
    folder.write("good.token", "a-token-of-the-operators");
    let text = "version: 1
server:
  listeners: [{address: 127.0.0.1:0}]
  admin: {address: 0.0.0.0:0, token: {file: $TOKEN}}
routes: [{name: all, path: \"/**\", respond: {status: 204}}]
telemetry: {access_log: {to: {file: access.log}}}
";
    let bad = folder.write("bad.yaml", text.replace("$TOKEN", "none.token"));
    let good = folder.write("good.yaml", text.replace("$TOKEN", "good.token"));

    let (code, _, told) = run(&["check"], &bad);
    assert_eq!(code, Some(78));
    assert!(told.contains("bad.yaml:4:") && told.contains("none.token` cannot be read"), "{told}");
    assert_eq!(run(&["check", "--no-files"], &bad).0, Some(0));
    assert_eq!(run(&["check"], &good).0, Some(0));
    assert!(!folder.0.join("access.log").exists());
}

#[test]
fn warnings_leave_a_configuration_valid_unless_one_is_strict() {
    let folder = Folder::new("warnings");
    let text = "version: 1
server: {listeners: [{address: 127.0.0.1:0}]}
upstreams: {idle: {endpoints: [10.0.0.1:80]}}
routes: [{name: all, path: \"/**\", respond: {status: 204}}]
";
    let file = folder.write("frontgate.yaml", text);

    for arguments in [&["check"][..], &["check", "-c"], &["-t", "-c"], &["-t"]] {
        let (code, out, told) = run(arguments, &file);
        assert_eq!((code, out.as_str()), (Some(0), "the configuration is valid\n"), "{told}");
        assert!(told.contains("`idle` is not used") && told.ends_with("1 warning\n"), "{told}");
    }
    for arguments in [&["check", "--strict"][..], &["-t", "--strict", "-c"]] {
        let (code, out, _) = run(arguments, &file);
        assert_eq!((code, out.as_str()), (Some(78), ""));
    }
    for arguments in [&["check", "--format", "json"][..], &["-t", "--format", "json", "-c"]] {
        let (code, out, told) = run(arguments, &file);
        assert_eq!((code, told.as_str()), (Some(0), ""));
        let problems: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (&problems[0]["severity"], &problems[0]["code"], &problems[0]["line"]),
            (&"warning".into(), &"unused".into(), &3.into())
        );
    }
}

#[test]
fn no_diagnostic_shows_a_secret_wherever_it_is_written() {
    const SECRET: &str = "hunter2hunter2";
    let folder = Folder::new("secrets");
    let head = "version: 1\nserver: {listeners: [{address: 127.0.0.1:1}]$ADMIN}\n";
    let rest = "routes: [{name: r, path: \"/**\", respond: {status: 204}$FILTERS}]\n";
    let jwt = |keys: &str| {
        let filters = format!("filters: {{j: {{jwt: {{issuer: any, audience: any, algorithms: [HS256], keys: {keys}}}}}}}\n");
        head.replace("$ADMIN", "") + &filters + &rest.replace("$FILTERS", ", filters: [j]")
    };
    let admin =
        |token: &str| head.replace("$ADMIN", &format!(", admin: {{address: 0.0.0.0:2, token: {token}}}")) + &rest.replace("$FILTERS", "");

    for text in [
        format!("jwt_secret: [{SECRET}]\n"),
        format!("admin:\n  password: |\n    {SECRET}\n"),
        format!("token: {SECRET}: x\n"),
        format!("client_secret: \"{SECRET}\n"),
        format!("apiKey: {{{SECRET}: {SECRET}}}\n"),
        format!("upstreams: {{a: {{endpoints: [\"admin:{SECRET}@10.0.0.1:80\"]}}}}\n"),
        format!("upstreams: {{a: {{endpoints: [], hosst: \"Bearer {SECRET}\"}}}}\n"),
        admin(SECRET),
        admin(&format!("[{SECRET}]")),
        admin(&format!("{{{SECRET}}}")),
        admin(&format!("{{value: {SECRET}}}")),
        admin(&format!("{{env: \"{SECRET} & more\"}}")),
        jwt(&format!("{{secret: {SECRET}}}")),
        jwt(&format!("{{secret: \"${{NOPE:-{SECRET}}}\"}}")),
        jwt(&format!("{{public_key: {SECRET}}}")),
        jwt(SECRET),
        jwt(&format!("{{jwks: {{url: \"https://u:{SECRET}@h/k\"}}}}")),
        jwt(&format!("{{jwks: {{url: \"https://{SECRET}@h/k\"}}}}")),
        jwt(&format!("{{jwks: \"https://u:{SECRET}@h/k\"}}")),
    ] {
        let file = folder.write("s.yaml", &text);
        for arguments in [&["check", "-c"][..], &["check", "--format", "json", "-c"], &["run", "-c"]] {
            let (code, out, told) = run(arguments, &file);
            assert_eq!(code, Some(78), "{text}");
            assert!(!(out.clone() + &told).contains(SECRET), "{text}{out}{told}");
        }
        // A key whose value stands below it is shown.
        let told = run(&["check", "-c"], &file).2;
        assert!(told.contains("line not shown") || text.contains("|\n"), "{told}");
        assert!(told.contains("s.yaml:"), "{told}");
    }
}

#[test]
fn a_reload_says_no_secret_either_and_no_pipe_holds_it_up() {
    let text = simple("127.0.0.1:9".parse().unwrap(), "admin: 127.0.0.1:0", "");
    let process = Process::start("check-reload", &text);
    let login = "filters:\n  j: {jwt: {issuer: any, audience: any, algorithms: [HS256], keys: {secret: $SECRET}}}\nroutes:";
    let with = |secret: &str| {
        text.replace("routes:", &login.replace("$SECRET", secret)).replace("upstream: main\n", "upstream: main\n    filters: [j]\n")
    };
    assert!(Command::new("mkfifo").arg(process.folder.join("fifo")).status().unwrap().success());

    process.write(&with("hunter2hunter2"));
    let refused = process.ask("POST", "/-/reload");
    assert_eq!(refused.status, 422);
    assert!(!refused.text().contains("hunter2") && refused.text().contains("exposed_secret"), "{}", refused.text());
    process.write(&with("{file: fifo}"));
    let began = Instant::now();
    let refused = process.ask("POST", "/-/reload");
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("not a regular file") && refused.text().contains("\"line\""), "{}", refused.text());
    assert!(began.elapsed() < Duration::from_secs(30));
    process.write(&text);
    until("the old configuration to be taken again", || process.ask("POST", "/-/reload").status == 200);
}

#[test]
fn a_file_that_is_not_utf_8_is_told_with_line_and_column() {
    let folder = Folder::new("utf8");

    for (bytes, place, words) in
        [(&b"version: 1\n# caf\xe9\n"[..], ":2:6", "not part of a character in UTF-8"), (b"\xff\xfev\x00", ":1:1", "UTF-16")]
    {
        let file = folder.write("a.yaml", bytes);
        let (code, _, told) = run(&["check"], &file);
        assert_eq!(code, Some(78));
        assert!(told.contains(&format!("a.yaml{place}")) && told.contains(words), "{told}");
    }
    let file = folder.write("bom.yaml", b"\xef\xbb\xbfversion: 1\nserver: {listeners: [{address: 127.0.0.1:1}]}\nroutes: []\n");
    let (code, _, told) = run(&["check"], &file);
    assert_eq!(code, Some(0), "a mark of UTF-8 is none of the text: {told}");
}

#[test]
fn what_is_no_regular_file_is_no_configuration() {
    let folder = Folder::new("odd");
    let fifo = folder.0.join("fifo.yaml");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let large = folder.write("large.yaml", vec![b'#'; (8 << 20) + 1]);

    for (file, words) in [
        (&fifo, "a pipe (FIFO), not a regular file"),
        (&PathBuf::from("/dev/zero"), "a device, not a regular file"),
        (&large, "larger than 8 MiB"),
        (&folder.0.join("none.yaml"), "it does not exist"),
    ] {
        let (code, _, told) = run(&["check"], file);
        assert_eq!(code, Some(78), "{told}");
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn files_beside_those_that_are_read_are_named() {
    let folder = Folder::new("directory");
    folder.write("10.yaml", "version: 1\nserver: {listeners: [{address: 127.0.0.1:0}]}\n# the keys are in keys.json\n");
    folder.write("20.yml", "routes: []\n");
    folder.write("keys.json", "{}");
    folder.write("notes.txt", "");
    folder.write(".hidden.yml", "");
    std::fs::create_dir(folder.0.join("more")).unwrap();
    folder.write("more/30.yaml", "routes: []\n");

    let (code, out, told) = run(&["check"], &folder.0);

    assert_eq!((code, out.as_str()), (Some(0), "the configuration is valid\n"), "{told}");
    for words in ["20.yml` is not read", "more` is not read", "2 warnings"] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn bombs_are_refused_quickly_and_say_what_may_be() {
    let folder = Folder::new("bombs");
    let layers: String =
        (1..9).map(|level| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", "))).collect();
    let aliases = format!("a0: &a0 [x, x, x]\n{layers}");
    let text = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 100].join(", "));
    let brackets = format!("a: [{}]\n", "[],".repeat(1 << 18));

    for (name, bomb) in [("aliases", aliases), ("text", text), ("brackets", brackets)] {
        let file = folder.write("bomb.yaml", bomb);
        let (code, _, told) = run(&["check"], &file);
        assert_eq!(code, Some(78), "{name}");
        assert!(told.contains("too large or too complex") && told.contains("60000") && told.len() < 10_000, "{name}: {told}");
    }
}
