//! The image: what it is built from is there, what runs in it has no shell and no root, and it asks the gateway itself how it is.

use std::path::Path;
use std::process::{Command, Stdio};

use frontgate_test_support::{skipped, tool};
use serde_json::Value;

use super::{folder, project, read, succeeds};
use crate::harness::{Process, until};

const DOCKERFILE: &str = "conf/Dockerfile";

/// The instructions of each stage: `(name, rest)`.
fn stages() -> Vec<Vec<(String, String)>> {
    let mut stages: Vec<Vec<(String, String)>> = Vec::new();
    for line in read(DOCKERFILE).lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, rest) = line.split_once(' ').expect("an instruction");
        if name == "FROM" {
            stages.push(Vec::new());
        }
        stages.last_mut().expect("FROM comes first").push((name.to_owned(), rest.to_owned()));
    }
    stages
}

fn value<'s>(stage: &'s [(String, String)], name: &str) -> &'s str {
    let found = stage.iter().find(|(instruction, _)| instruction == name);
    &found.unwrap_or_else(|| panic!("there is no {name}")).1
}

/// The words of an instruction in its form without a shell.
fn words(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("`{text}` needs a shell, and there is none"))
}

/// What is copied from the project, and where to.
fn copied(stage: &[(String, String)]) -> Vec<(Vec<String>, String)> {
    let copies = stage.iter().filter(|(name, rest)| name == "COPY" && !rest.starts_with("--"));
    copies
        .map(|(_, rest)| {
            let mut names: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
            let to = names.pop().expect("a place");
            (names, to)
        })
        .collect()
}

#[test]
fn the_image_has_no_shell_no_root_and_asks_the_gateway_how_it_is() {
    let stages = stages();
    let [build, image] = &stages[..] else { panic!("two stages: {stages:?}") };

    assert!(value(image, "FROM").contains("distroless/cc-debian12"));
    assert!(value(build, "FROM").contains("-bookworm"), "the C library of both is Debian 12's");
    let user: u32 = value(image, "USER").split(':').next().and_then(|user| user.parse().ok()).expect("a number");
    assert_ne!(user, 0);
    let binary = "/usr/bin/frontgate";
    assert!(image.iter().any(|(name, rest)| name == "COPY" && rest.starts_with("--from=build ") && rest.ends_with(binary)));
    assert_eq!(words(value(image, "ENTRYPOINT")), [binary]);
    let (_, check) = value(image, "HEALTHCHECK").split_once(" CMD ").expect("a command");
    assert_eq!(words(check)[..2], [binary, "status"]);
    assert_eq!(words(value(image, "CMD"))[0], "run");
    assert!(!image.iter().any(|(name, _)| name == "RUN" || name == "SHELL"), "nothing can be run while it is made");
    assert_eq!(value(image, "STOPSIGNAL"), "SIGTERM");
    let version = env!("CARGO_PKG_RUST_VERSION");
    assert!(value(build, "FROM").starts_with(&format!("rust:{version}-")), "the toolchain is {version}");
}

#[test]
fn what_the_image_is_built_from_is_there_and_is_enough() {
    let stages = stages();
    let context = folder("context");
    for (names, to) in stages.iter().flat_map(|stage| copied(stage)) {
        for name in names {
            let from = project().join(&name);
            assert!(from.exists(), "{name} is copied, and is not there");
            let ignored = read(".dockerignore");
            assert!(
                ignored.lines().any(|line| line.strip_prefix('!').is_some_and(|kept| Path::new(&name).starts_with(kept))),
                "{name} is ignored"
            );
            if to.starts_with('/') {
                continue;
            }
            let place = if from.is_dir() { context.join(&to) } else { context.join(&to).join(from.file_name().unwrap()) };
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            succeeds(Command::new("cp").arg("-rT").arg(&from).arg(&place));
        }
    }

    // Cargo finds every part of the workspace that it wants to know of.
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    succeeds(cargo.current_dir(&context).args(["metadata", "--format-version=1", "--offline", "--locked", "--no-deps"]));
    let _ = std::fs::remove_dir_all(&context);
}

#[test]
fn the_binary_needs_no_library_that_the_image_has_not() {
    let Some(ldd) = tool("ldd") else { return };

    let said = succeeds(Command::new(ldd).arg(env!("CARGO_BIN_EXE_frontgate")));

    // Of the packages libc6 and libgcc-s1, which the image is made of.
    const THERE: [&str; 8] = ["linux-vdso", "libc.so", "libm.so", "libgcc_s.so", "libdl.so", "libpthread.so", "librt.so", "ld-linux"];
    let needed: Vec<&str> = said.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let lacking: Vec<&&str> = needed.iter().filter(|name| !THERE.iter().any(|there| name.contains(there))).collect();
    assert!(needed.len() > 1 && lacking.is_empty(), "{said}");
}

#[test]
fn its_configuration_serves_and_its_health_check_fails_once_nothing_answers() {
    let text = read("conf/image.yaml").replace(":8080", ":0").replace(":9901", ":0").replace(":9902", ":0").replace("0.0.0.0", "127.0.0.1");
    let mut process = Process::start("image", &text);
    let admin = process.admin.to_string();
    let stages = stages();
    let (_, check) = value(&stages[1], "HEALTHCHECK").split_once(" CMD ").expect("a command");
    let check = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_frontgate"));
        command.args(&words(check)[1..2]).args(["--admin", &admin]).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().code()
    };

    assert_eq!(check(), Some(0));
    let answer: Value = crate::harness::get(process.address, "/").json();
    assert!(answer["frontgate"].is_string(), "{answer}");
    process.signal("STOP");
    process.signal("CONT");
    process.signal("TERM");
    assert_eq!(process.end(), Some(0));
    until("the check to fail", || check() == Some(69));
}

/// How it is built and run where nothing can be pulled.
const BUILD: &str = include_str!("build_image.sh");

#[test]
fn it_is_built_of_the_dockerfile_and_serves_as_nobody_on_a_file_system_that_is_read_only() {
    for name in ["unshare", "buildah", "chroot", "ldd", "objcopy", "curl", "ip"] {
        if tool(name).is_none() {
            return;
        }
    }
    let place = folder("built");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", BUILD, "sh"]).arg(&place);
    let output = command.arg(DOCKERFILE).arg(env!("CARGO_BIN_EXE_frontgate")).current_dir(project()).env("LC_ALL", "C").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let _ = std::fs::remove_dir_all(&place);
    if !said.contains("ready\n") {
        let why = said.lines().last().unwrap_or_default();
        return skipped(&format!("no image can be made here: it takes root and mounts ({why})"));
    }

    assert!(output.status.success(), "{said}");
    for words in [
        "starts as 65532:65532: /usr/bin/frontgate run -c /etc/frontgate",
        "asks: CMD /usr/bin/frontgate status -c /etc/frontgate",
        "well: 0",
        r#"answers: {"frontgate":"it works: mount a configuration at /etc/frontgate"}, ready: 200"#,
        "runs as 65532:65532, rights 0000000000000000",
        "read-only\n",
        "no shell\n",
        "ended: 0",
        "not well any more: 69",
    ] {
        assert!(said.contains(words), "`{words}` is missing:\n{said}");
    }
}

#[test]
fn hadolint_has_nothing_to_say() {
    let Some(hadolint) = tool("hadolint") else { return };

    succeeds(Command::new(hadolint).arg(project().join(DOCKERFILE)));
}
