//! Configurations whose files change: what is seen, what is nothing, and what is told of it.

mod history;
mod reloads;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use frontgate_test_support::skipped;
use serde_json::json;

use crate::harness::{Process, exchange, get, until, yaml};

/// One listener, and a route that answers this number.
fn text(number: u32) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          admin: 127.0.0.1:0
        routes:
          - {name: all, path: /**, respond: {json: {number: $NUMBER}}}
        ",
        &[("$NUMBER", &number)],
    )
}

/// The number that it answers; 0 where it answers something else.
fn number(process: &Process) -> u64 {
    get(process.address, "/").json()["number"].as_u64().unwrap_or_default()
}

#[track_caller]
fn answers(process: &Process, wanted: u64) {
    until(&format!("the answer {wanted}"), || number(process) == wanted);
}

#[track_caller]
fn says(process: &Process, words: &str) {
    until(&format!("`{words}` on standard error"), || process.said().contains(words));
}

/// The lines of the process's log with these words.
fn lines(process: &Process, words: &str) -> Vec<String> {
    process.said().lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
}

fn status(process: &Process) -> serde_json::Value {
    process.ask("GET", "/healthz?full=1").json()
}

fn metric(process: &Process, series: &str) -> f64 {
    let text = process.ask("GET", "/metrics").text();
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()).unwrap()
}

const SUCCESSFUL: &str = "frontgate_config_last_reload_successful";
const SUCCEEDED_AT: &str = "frontgate_config_last_reload_success_timestamp_seconds";

#[test]
fn a_changed_file_comes_into_force_by_itself_and_one_line_says_so() {
    let process = Process::start("watched", &text(1));
    let file = process.folder.join("frontgate.yaml");

    process.write(&text(2));

    answers(&process, 2);
    says(&process, "is in force");
    let told = lines(&process, "is in force");
    let expected = format!("is in force, since `{}` has changed: the route `all` has changed (respond.json.number: 1 → 2)", file.display());
    assert!(told.len() == 1 && told[0].ends_with(&expected), "{told:?}");
    assert_eq!(status(&process)["in_force"]["how"], "watch");
}

#[test]
fn a_file_that_stays_the_same_is_nothing_however_often_it_is_written() {
    let process = Process::start("same", &text(1));
    let (file, other) = (process.folder.join("frontgate.yaml"), process.folder.join("other"));
    let began = metric(&process, SUCCEEDED_AT);

    for _ in 0..3 {
        process.write(&text(1));
        std::fs::copy(&file, &other).unwrap();
        std::fs::rename(&other, &file).unwrap();
    }
    let unchanged = metric(&process, SUCCEEDED_AT);
    // What comes next is seen, and was all that there was to see.
    process.write(&text(2));

    answers(&process, 2);
    says(&process, "is in force");
    assert_eq!((unchanged, lines(&process, "is in force").len()), (began, 1), "{}", process.said());
}

#[test]
fn a_bad_file_changes_nothing_and_is_told_of_once_until_it_is_another() {
    let process = Process::start("bad", &text(1));
    let bad = text(2).replace("respond:", "respnd:");

    process.write(&bad);
    says(&process, "the configuration was not reloaded (");
    assert_eq!((number(&process), metric(&process, SUCCESSFUL)), (1, 0.0));
    let told = status(&process);
    assert!(told["status"] == "degraded" && told["reasons"][0].as_str().unwrap().contains("respnd"), "{told}");
    for _ in 0..3 {
        process.write(&bad);
    }
    process.write(&text(3));

    answers(&process, 3);
    says(&process, "is in force");
    let told = lines(&process, "not reloaded");
    assert!(told.len() == 1 && told[0].contains("frontgate.yaml:") && told[0].contains("respnd"), "{told:?}");
    assert_eq!((metric(&process, SUCCESSFUL), status(&process)["status"].as_str().unwrap().to_owned()), (1.0, "ok".to_owned()));
}

#[test]
fn a_file_that_was_bad_and_is_as_before_again_is_no_trouble_any_more() {
    let process = Process::start("mended", &text(1));
    process.write("version: 1\nserver: {");
    says(&process, "not reloaded");

    process.write(&text(1));

    until("health", || status(&process)["status"] == "ok");
    says(&process, "has changed: every value is as before");
    assert_eq!(metric(&process, SUCCESSFUL), 1.0);
}

#[test]
fn a_file_that_an_editor_takes_away_first_is_none_that_is_gone() {
    let process = Process::start("editor", &text(1));
    let file = process.folder.join("frontgate.yaml");

    for round in 2..5 {
        std::fs::rename(&file, process.folder.join("frontgate.yaml~")).unwrap();
        process.write(&text(round));
        answers(&process, round.into());
    }
    assert_eq!(lines(&process, "not reloaded"), [""; 0]);

    std::fs::remove_file(&file).unwrap();
    says(&process, "cannot be read: it does not exist");
    assert_eq!(number(&process), 4);
    process.write(&text(4));
    until("health", || status(&process)["status"] == "ok");
}

/// A directory as Kubernetes mounts a ConfigMap: files that are links through `..data`, which is exchanged.
pub(crate) struct Volume(PathBuf);

impl Volume {
    pub(crate) fn new(folder: &Path) -> Self {
        let volume = folder.join("conf");
        std::fs::create_dir(&volume).unwrap();
        Self(volume)
    }

    /// Holds these files from now on.
    pub(crate) fn hold(&self, revision: u32, files: &[(&str, String)]) {
        let name = format!("..{revision}");
        std::fs::create_dir(self.0.join(&name)).unwrap();
        for (file, text) in files {
            std::fs::write(self.0.join(&name).join(file), text).unwrap();
            let _ = symlink(Path::new("..data").join(file), self.0.join(file));
        }
        symlink(&name, self.0.join("..tmp")).unwrap();
        std::fs::rename(self.0.join("..tmp"), self.0.join("..data")).unwrap();
        let is_held = |name: &str| name.starts_with('.') || files.iter().any(|(file, _)| *file == name);
        for entry in std::fs::read_dir(&self.0).unwrap().flatten() {
            if !is_held(entry.file_name().to_str().unwrap()) {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        let old = self.0.join(format!("..{}", revision - 1));
        let _ = std::fs::remove_dir_all(old);
    }
}

#[test]
fn a_config_map_that_is_exchanged_is_seen_again_and_again_with_what_comes_and_goes() {
    let folder = Process::folder("volume");
    let volume = Volume::new(&folder);
    let route = |name: &str| format!("routes: [{{name: {name}, path: /{name}, respond: {{}}}}]\n");
    volume.hold(1, &[("main.yaml", text(1))]);
    let process = Process::start_at(folder, "conf", &[], "true");

    volume.hold(2, &[("main.yaml", text(2))]);
    answers(&process, 2);
    volume.hold(3, &[("main.yaml", text(3)), ("more.yaml", route("more"))]);
    answers(&process, 3);
    until("a file that was added", || get(process.address, "/more").body.is_empty());
    volume.hold(4, &[("main.yaml", text(4))]);
    answers(&process, 4);
    until("a file that was removed", || get(process.address, "/more").json()["number"] == 4);

    // What is in force is told once it is.
    for words in ["more.yaml` is new", "more.yaml` is gone"] {
        until(words, || lines(&process, "is in force").iter().any(|line| line.contains(words)));
    }
    // What is as it should be is no warning.
    assert_eq!(lines(&process, " notify::"), [""; 0]);
    assert_eq!(lines(&process, "not reloaded"), [""; 0]);
}

#[test]
fn the_target_of_a_link_is_watched_where_it_lies() {
    let folder = Process::folder("link");
    std::fs::create_dir_all(folder.join("elsewhere")).unwrap();
    let target = folder.join("elsewhere/real.yaml");
    std::fs::write(&target, text(1)).unwrap();
    symlink("elsewhere/real.yaml", folder.join("frontgate.yaml")).unwrap();
    let process = Process::start_at(folder, "frontgate.yaml", &[], "true");

    std::fs::write(&target, text(2)).unwrap();
    answers(&process, 2);
    std::fs::write(process.folder.join("elsewhere/new.yaml"), text(3)).unwrap();
    std::fs::rename(process.folder.join("elsewhere/new.yaml"), &target).unwrap();
    answers(&process, 3);
}

/// A gateway that asks for tokens signed with the secret in `hs.key`, and whose operators have the token in `admin.token`.
fn with_secrets(name: &str) -> Process {
    let folder = Process::folder(name);
    std::fs::write(folder.join("hs.key"), SECRETS[0]).unwrap();
    std::fs::write(folder.join("admin.token"), "one").unwrap();
    let login = "filters: {login: {jwt: {issuer: any, audience: any, algorithms: [HS256], keys: {secret: {file: hs.key}}}}}\n";
    let text = text(1)
        .replace("admin: 127.0.0.1:0", "admin: {address: 127.0.0.1:0, token: {file: admin.token}}")
        .replace("respond:", "filters: [login], respond:");
    std::fs::write(folder.join("frontgate.yaml"), text + login).unwrap();
    Process::start_at(folder, "frontgate.yaml", &[], "true")
}

const SECRETS: [&str; 2] = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"];

/// What a token that is signed with this secret gets.
fn asked_with(process: &Process, secret: &str) -> u16 {
    let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 600;
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &json!({"sub": "u", "exp": until}), &key).unwrap();
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n");
    exchange(process.address, head.as_bytes()).unwrap().status
}

/// What an operator with this token gets.
fn operator(process: &Process, token: &str) -> u16 {
    let host = process.admin;
    let head = format!("GET /livez HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n");
    exchange(host, head.as_bytes()).unwrap().status
}

#[test]
fn keys_and_secrets_in_files_are_watched_as_well() {
    let process = with_secrets("secrets");
    assert_eq!(SECRETS.map(|secret| asked_with(&process, secret)), [200, 401]);

    std::fs::write(process.folder.join("hs.key"), SECRETS[1]).unwrap();
    until("the other secret", || SECRETS.map(|secret| asked_with(&process, secret)) == [401, 200]);
    says(&process, "hs.key` (filters.login.jwt.keys.secret) has changed");
    assert!(!process.said().contains("every value is as before"), "{}", process.said());
    assert_eq!(["one", "two"].map(|token| operator(&process, token)), [200, 401]);
    std::fs::write(process.folder.join("admin.token"), "two").unwrap();
    until("the other token", || ["one", "two"].map(|token| operator(&process, token)) == [401, 200]);
    says(&process, "admin.token` (server.admin.token) has changed");
    // The same secret with another line end is no other one.
    std::fs::write(process.folder.join("admin.token"), "two\n").unwrap();
    says(&process, "admin.token` has changed: every value is as before");

    // One that cannot be used leaves the one before in use.
    std::fs::write(process.folder.join("hs.key"), "").unwrap();
    says(&process, "hs.key` has changed: ");
    until("an error", || !lines(&process, "not reloaded").is_empty());
    assert_eq!(SECRETS.map(|secret| asked_with(&process, secret)), [401, 200]);
    assert!(SECRETS.iter().all(|secret| !process.said().contains(secret)), "{}", process.said());
}

/// Looked for from time to time it would be seen as well, but ten seconds after its configuration was read at the earliest.
#[test]
fn a_file_that_a_reload_has_named_is_watched_from_then_on() {
    let process = with_secrets("named-later");
    let file = process.folder.join("frontgate.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let accepts = |secret: &str| asked_with(&process, secret) == 200;

    let waited = [1, 2].map(|round| {
        let name = format!("hs-{round}.key");
        std::fs::write(process.folder.join(&name), SECRETS[1]).unwrap();
        process.write(&text.replace("hs.key", &name));
        until("the configuration that names it", || accepts(SECRETS[1]));
        let began = std::time::Instant::now();
        std::fs::write(process.folder.join(&name), SECRETS[0]).unwrap();
        until("what it holds now", || accepts(SECRETS[0]));
        began.elapsed()
    });

    assert!(waited.iter().min().is_some_and(|least| *least < Duration::from_secs(6)), "{waited:?}");
}

#[test]
fn a_reload_by_hand_names_the_secret_that_has_changed_and_shows_nothing_of_it() {
    let folder = Process::folder("rotated");
    std::fs::write(folder.join("hs.key"), SECRETS[0]).unwrap();
    let login = "filters: {login: {jwt: {issuer: any, audience: any, algorithms: [HS256], keys: {secret: {file: hs.key}}}}}\n";
    std::fs::write(folder.join("frontgate.yaml"), text(1).replace("respond:", "filters: [login], respond:") + login).unwrap();
    let process = Process::start_at(folder, "frontgate.yaml", &["--no-watch"], "true");
    let reload = || process.ask("POST", "/-/reload").json()["changed"].clone();
    assert_eq!(reload(), json!([]));

    std::fs::write(process.folder.join("hs.key"), SECRETS[1]).unwrap();

    let changed = reload();
    let told = changed[0].as_str().unwrap().to_owned();
    assert!(changed.as_array().unwrap().len() == 1 && told.starts_with("the secret in `"), "{changed}");
    assert!(told.ends_with("hs.key` (filters.login.jwt.keys.secret) has changed"), "{told}");
    assert_eq!(SECRETS.map(|secret| asked_with(&process, secret)), [401, 200]);
    assert_eq!(reload(), json!([]));
}

#[test]
fn a_reload_by_hand_leaves_the_watcher_nothing_to_tell() {
    let process = Process::start("by-hand", &text(1));

    for round in 2..30 {
        process.write(&text(round));
        // Whoever is first: the other one finds nothing new.
        assert_eq!((process.ask("POST", "/-/reload").status, number(&process)), (200, round.into()));
    }
    process.write(&text(30));
    answers(&process, 30);
    says(&process, "number: 29 → 30");

    let told: Vec<String> = lines(&process, "every value is as before").into_iter().filter(|line| line.contains("has changed")).collect();
    assert_eq!(told, [""; 0], "{}", process.said());
    let told: usize = lines(&process, "is in force").iter().filter(|line| line.contains("respond.json.number")).count();
    assert_eq!(told, 29, "each change once: {}", process.said());
}

#[test]
fn what_has_changed_in_a_section_is_named_with_its_values() {
    let process = Process::start("section", &text(1));

    process.write(&text(1).replace("server:\n", "server:\n  half_close: true\n  limits: {headers: 32KiB}\n"));

    says(&process, "the section `server` has changed (");
    let told = lines(&process, "the section `server`").join("");
    assert!(told.contains("limits.headers: ") && told.contains(" (default) → 32") && told.contains("half_close: "), "{told}");
    let dashboard = process.ask("GET", "/-/dashboard").text();
    assert!(dashboard.contains("the section `server` has changed (") && dashboard.contains("half_close: "), "{dashboard}");
}

#[test]
fn a_mistake_is_told_with_what_was_probably_meant() {
    let process = Process::start("meant", &text(1));

    process.write(
        &(text(1).replace("respond: {json: {number: 1}}", "upstream: catalgo") + "upstreams: {catalog: {endpoints: [127.0.0.1:1]}}\n"),
    );
    says(&process, "there is no upstream `catalgo` (did you mean `catalog`?)");
    process.write(&(text(1) + "server: {}\n"));
    says(&process, "duplicate key `server`, first defined here: ");
}

#[test]
fn an_edit_is_in_force_though_a_file_beside_it_is_away() {
    let folder = Process::folder("away");
    let conf = folder.join("conf");
    std::fs::create_dir(&conf).unwrap();
    std::fs::write(conf.join("main.yaml"), text(1)).unwrap();
    let more = "routes: [{name: more, path: /more, respond: {}}]\n";
    std::fs::write(conf.join("more.yaml"), more).unwrap();
    let process = Process::start_at(folder, "conf", &[], "true");

    std::fs::remove_file(conf.join("more.yaml")).unwrap();
    std::fs::write(conf.join("main.yaml"), text(2)).unwrap();

    answers(&process, 2);
    says(&process, "more.yaml` is gone");
    // One that comes back at once was never away.
    for round in 3..6 {
        std::fs::write(conf.join("more.yaml"), more).unwrap();
        until("it to be there", || get(process.address, "/more").body.is_empty());
        std::fs::rename(conf.join("more.yaml"), conf.join("more.yaml~")).unwrap();
        std::fs::write(conf.join("main.yaml"), text(round)).unwrap();
        std::fs::rename(conf.join("more.yaml~"), conf.join("more.yaml")).unwrap();
        answers(&process, round.into());
    }
    assert_eq!(lines(&process, "not reloaded"), [""; 0]);
}

#[test]
fn what_is_no_file_beside_the_configuration_changes_nothing_and_holds_up_nobody() {
    let folder = Process::folder("odd");
    let conf = folder.join("conf");
    std::fs::create_dir(&conf).unwrap();
    std::fs::write(conf.join("main.yaml"), text(1)).unwrap();
    let process = Process::start_at(folder, "conf", &[], "true");
    let odd = conf.join("odd.yaml");

    let make = |what: &str| match what {
        "a pipe" => assert!(Command::new("mkfifo").arg(&odd).status().unwrap().success()),
        "a link to itself" => symlink("odd.yaml", &odd).unwrap(),
        "a device" => symlink("/dev/zero", &odd).unwrap(),
        "a file of a terabyte" => std::fs::File::create(&odd).unwrap().set_len(1 << 40).unwrap(),
        _ => std::fs::write(&odd, [0xff, 0x00, 0x80]).unwrap(),
    };
    let odd_ones = [
        ("a pipe", "it is a pipe (FIFO), not a regular file"),
        ("a link to itself", "cannot be read: "),
        ("a device", "it is a device, not a regular file"),
        ("a file of a terabyte", "is larger than 8 MiB"),
        ("what is no text", "is not part of a character in UTF-8"),
    ];
    for (round, (what, words)) in odd_ones.into_iter().enumerate() {
        make(what);
        until(words, || lines(&process, "not reloaded").len() == round + 1);
        assert!(lines(&process, "not reloaded")[round].contains(words), "{}", process.said());
        assert_eq!((number(&process), metric(&process, SUCCESSFUL)), (round as u64 + 1, 0.0));

        std::fs::remove_file(&odd).unwrap();
        std::fs::write(conf.join("main.yaml"), text(round as u32 + 2)).unwrap();
        answers(&process, round as u64 + 2);
    }
    assert_eq!(lines(&process, "not reloaded").len(), 5, "each once: {}", process.said());
}

#[test]
fn a_key_that_comes_later_mends_a_configuration_that_was_refused_for_want_of_it() {
    let process = with_secrets("later");
    let file = process.folder.join("frontgate.yaml");
    let text = std::fs::read_to_string(&file).unwrap();

    process.write(&text.replace("hs.key", "other.key"));
    says(&process, "not reloaded");
    assert_eq!(SECRETS.map(|secret| asked_with(&process, secret)), [200, 401]);
    std::fs::write(process.folder.join("other.key"), SECRETS[1]).unwrap();

    until("the other secret", || SECRETS.map(|secret| asked_with(&process, secret)) == [401, 200]);
    says(&process, "other.key` is there");
}

#[test]
fn nothing_is_watched_where_that_is_asked_for() {
    let folder = Process::folder("unwatched");
    std::fs::write(folder.join("frontgate.yaml"), text(1)).unwrap();
    let still = Process::start_at(folder.clone(), "frontgate.yaml", &["--no-watch"], "true");
    let watching = Process::start_at(folder, "frontgate.yaml", &[], "true");

    for round in 2..5 {
        watching.write(&text(round));
        answers(&watching, round.into());
        assert_eq!(number(&still), 1);
    }

    assert_eq!((still.ask("POST", "/-/reload").status, number(&still)), (200, 4));
}

#[test]
fn where_the_kernel_tells_nothing_files_are_looked_at_from_time_to_time() {
    let folder = Process::folder("polled");
    std::fs::write(folder.join("frontgate.yaml"), text(1)).unwrap();
    let none = "echo 0 > /proc/sys/user/max_inotify_instances";
    let can = Command::new("unshare").args(["-U", "-r", "sh", "-c", none]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        return skipped("no user namespace can be made here in which there is no inotify");
    }
    let process = Process::start_at(
        folder,
        "frontgate.yaml",
        &[],
        &format!("exec unshare -U -r sh -c '{none} && exec \"$0\" \"$@\"' \"$0\" \"$@\" "),
    );
    says(&process, "changes of files cannot be heard of, so they are looked for every 10 s");

    process.write(&text(2));

    answers(&process, 2);
}

#[test]
fn a_mount_of_a_single_file_is_told_of_once() {
    let folder = Process::folder("mounted");
    std::fs::write(folder.join("original.yaml"), text(1)).unwrap();
    std::fs::write(folder.join("frontgate.yaml"), "").unwrap();
    let can = Command::new("unshare").args(["-m", "true"]).status();
    if !can.is_ok_and(|status| status.success()) {
        return skipped("no mount namespace can be made here");
    }
    let bind = format!("mount --bind {0}/original.yaml {0}/frontgate.yaml", folder.display());
    let process =
        Process::start_at(folder, "frontgate.yaml", &[], &format!("exec unshare -m sh -c '{bind} && exec \"$0\" \"$@\"' \"$0\" \"$@\" "));
    says(&process, "is a mount of this one file");

    // The very file is written to, which shows through the mount.
    std::fs::write(process.folder.join("original.yaml"), text(2)).unwrap();
    until("the next look", || number(&process) == 2);

    assert_eq!(lines(&process, "is a mount of this one file").len(), 1);
}

/// How long a change takes to be in force, for the record.
#[test]
fn a_change_is_in_force_within_seconds_though_many_come_at_once() {
    let process = Process::start("many", &text(1));
    let began = std::time::Instant::now();

    for round in 2..200 {
        process.write(&text(round));
    }

    answers(&process, 199);
    assert!(began.elapsed() < Duration::from_secs(60));
    // A reload each would be the death of whoever reads the log.
    assert!(lines(&process, "is in force").len() < 20, "{}", process.said());
}
