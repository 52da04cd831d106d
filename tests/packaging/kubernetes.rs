//! The manifests: of the right kinds and fields, and of numbers that fit the configuration that is mounted.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use frontgate_test_support::tool;
use serde_json::{Value, json};

use super::{documents, project, python_with, read, succeeds};
use crate::harness::{Origin, Process, get, until};
use crate::watching::Volume;

const FOLDER: &str = "conf/kubernetes";

/// The manifests, without what is kustomize's.
fn manifests() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(project().join(FOLDER)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".yaml") && !["kustomization.yaml", "frontgate.yaml"].contains(&&*name) {
            found.extend(documents(&format!("{FOLDER}/{name}")).into_iter().map(|document| (name.clone(), document)));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

fn of_kind(kind: &str) -> Value {
    let found = manifests().into_iter().find(|(_, document)| document["kind"] == kind);
    found.unwrap_or_else(|| panic!("there is no {kind}")).1
}

#[test]
fn the_pods_have_time_to_drain_and_are_probed_where_the_gateway_tells() {
    let deployment = of_kind("Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let loaded = frontgate::config::load(Some(&project().join(FOLDER).join("frontgate.yaml"))).map_err(|problems| problems.render(false));
    let server = loaded.unwrap().config.server;

    let drain = server.drain.notice.0 + server.drain.timeout.0;
    assert!(server.drain.notice.0.as_secs() >= 5, "endpoints learn later than the pod that it is to end");
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > drain.as_secs(), "{drain:?}");
    let port = |name: &str| {
        let ports = container["ports"].as_array().unwrap();
        ports.iter().find(|port| port["name"] == name).unwrap()["containerPort"].as_u64().unwrap()
    };
    assert_eq!(port("http"), u64::from(server.listeners[0].address.port()));
    assert_eq!(port("status"), u64::from(server.status.unwrap().value.port()));
    for (probe, path) in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "status"}), "{probe}");
    }
    assert!(server.admin.unwrap().address.ip().is_loopback());
}

#[test]
fn the_pods_are_nobody_write_nothing_and_mount_their_configuration_as_a_whole() {
    let deployment = of_kind("Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];

    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
    assert!(container["resources"]["requests"]["memory"].is_string() && container["resources"]["limits"]["memory"].is_string());
    let mounts = container["volumeMounts"].as_array().unwrap();
    let configuration = mounts.iter().find(|mount| mount["name"] == "configuration").unwrap();
    assert!(mounts.iter().all(|mount| mount.get("subPath").is_none()), "a single file never changes");
    let folder = configuration["mountPath"].as_str().unwrap();
    assert_eq!(container["args"].as_array().unwrap().last().unwrap(), folder);
    let volume = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "configuration").unwrap();
    let kustomization = &documents(&format!("{FOLDER}/kustomization.yaml"))[0];
    assert_eq!(volume["configMap"]["name"], kustomization["configMapGenerator"][0]["name"]);
    assert_eq!(kustomization["generatorOptions"]["disableNameSuffixHash"], true, "it changes below the pods, which watch it");
    // What the state is kept in can be written.
    let state =
        read(&format!("{FOLDER}/frontgate.yaml")).lines().find_map(|line| line.trim().strip_prefix("state_dir: ").map(str::to_owned));
    assert!(mounts.iter().any(|mount| mount["mountPath"] == state.as_deref().unwrap()), "{state:?}");
}

/// The configuration of the ConfigMap, on ports of this machine, in front of `origin`.
fn mounted(status: SocketAddr, state: &std::path::Path, origin: SocketAddr) -> String {
    let text = read(&format!("{FOLDER}/frontgate.yaml"));
    let discover = text.lines().find_map(|line| line.trim().strip_prefix("discover: ")).expect("endpoints that are discovered");
    let health = text.lines().find_map(|line| line.trim().strip_prefix("health: ")).expect("a health check");
    [
        ("0.0.0.0:8080", "127.0.0.1:0".to_owned()),
        ("127.0.0.1:9901", "127.0.0.1:0".to_owned()),
        ("0.0.0.0:9902", status.to_string()),
        ("/var/lib/frontgate", state.display().to_string()),
        ("notice: 10s", "notice: 3s".to_owned()),
        (&format!("discover: {discover}"), format!("endpoints: [\"{origin}\"]")),
        (&format!("health: {health}"), "health: {path: /healthz}".to_owned()),
    ]
    .into_iter()
    .fold(text.clone(), |text, (from, to)| {
        assert!(text.contains(from), "there is no {from}");
        text.replace(from, &to)
    })
}

#[test]
fn the_gateway_does_what_probes_and_the_config_map_count_on() {
    let origins = ["first", "second"].map(|name| Origin::json(&format!("\"{name}\"")));
    let status = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = Process::folder("pod");
    let state = folder.join("state");
    std::fs::create_dir(&state).unwrap();
    let volume = Volume::new(&folder);
    let map = |origin: &Origin| [("frontgate.yaml", mounted(status, &state, origin.address))];
    volume.hold(1, &map(&origins[0]));
    let mut process = Process::start_at(folder.clone(), "conf", &[], "true");
    until("the startup probe", || {
        crate::harness::exchange(status, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").is_some_and(|reply| reply.status == 200)
    });
    assert_eq!(["/livez", "/readyz", "/metrics"].map(|path| get(status, path).status), [200; 3]);

    // While somebody asks all the time, the ConfigMap changes: to something else, to nonsense, and back.
    let (address, over, asked, failed) = (process.address, AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                failed.fetch_add(usize::from(get(address, "/").status != 200), Ordering::SeqCst);
                asked.fetch_add(1, Ordering::SeqCst);
            }
        });
        let answers = |name: &str| until(name, || get(address, "/").json() == json!(name));
        answers("first");
        volume.hold(2, &map(&origins[1]));
        answers("second");
        volume.hold(3, &[("frontgate.yaml", "nonsense: 1\n".to_owned())]);
        until("a refusal in the status", || process.ask("GET", "/healthz?full=1").json()["status"] == "degraded");
        assert_eq!(["/livez", "/readyz"].map(|path| get(status, path).status), [200; 2], "pods stay what they are");
        answers("second");
        volume.hold(4, &map(&origins[0]));
        answers("first");
        over.store(true, Ordering::SeqCst);
    });
    assert_eq!((failed.into_inner(), asked.into_inner() > 10), (0, true));

    // Until its endpoint is gone everywhere the pod takes connections, and the kubelet does not think that it hangs.
    let told = Instant::now();
    process.signal("TERM");
    until("the readiness probe to fail", || get(status, "/readyz").status == 503);
    assert_eq!((get(status, "/livez").status, get(address, "/").status), (200, 200));
    assert_eq!(process.end(), Some(0));
    assert!(told.elapsed() >= Duration::from_secs(3), "it ended before its notice was over");
}

#[test]
fn what_selects_pods_selects_these() {
    let deployment = of_kind("Deployment");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let selectors: Vec<(String, Value)> = manifests()
        .into_iter()
        .filter_map(|(name, document)| {
            let selector = match document["kind"].as_str()? {
                "Deployment" | "PodDisruptionBudget" => document["spec"]["selector"]["matchLabels"].clone(),
                "Service" => document["spec"]["selector"].clone(),
                _ => return None,
            };
            Some((name, selector))
        })
        .collect();

    assert_eq!(selectors.len(), 4);
    for (name, selector) in selectors {
        let selector = selector.as_object().unwrap().clone();
        assert!(!selector.is_empty() && selector.iter().all(|(key, value)| labels[key] == *value), "{name}: {selector:?}");
    }
    let monitored = &of_kind("ServiceMonitor")["spec"]["selector"]["matchLabels"];
    let services: Vec<Value> =
        manifests().into_iter().filter(|(_, document)| document["kind"] == "Service").map(|(_, document)| document).collect();
    let takes = |service: &&Value| monitored.as_object().unwrap().iter().all(|(key, value)| service["metadata"]["labels"][key] == *value);
    assert_eq!(services.iter().filter(takes).count(), 1);
    assert_eq!(of_kind("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"], deployment["metadata"]["name"]);
}

#[test]
fn kustomize_makes_one_of_them() {
    let Some(kubectl) = tool("kubectl") else { return };

    let text = succeeds(Command::new(kubectl).arg("kustomize").arg(project().join(FOLDER)));

    let kinds: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("kind: ")).collect();
    assert_eq!(kinds, ["ConfigMap", "Service", "Service", "Deployment", "PodDisruptionBudget"]);
    assert!(text.contains("image: registry.example/frontgate:0.1.0") && text.contains("  name: frontgate\n"), "{text}");
}

/// Says of each document whether it is one of its kind, with no field too many.
const VALIDATE: &str = r"
import json, sys, kubernetes_validate
for document in json.load(sys.stdin):
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    print('valid', document['kind'])
";

#[test]
fn they_are_what_kubernetes_takes() {
    let Some(python) = python_with("kubernetes_validate") else { return };
    // Of what is not Kubernetes' own there is no schema.
    let documents: Vec<Value> =
        manifests().into_iter().map(|(_, document)| document).filter(|document| document["kind"] != "ServiceMonitor").collect();
    let validate = |documents: &[Value]| {
        let mut command = Command::new(&python);
        let mut child = command.args(["-c", VALIDATE]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&serde_json::to_vec(documents).unwrap()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };

    assert_eq!(validate(&documents).matches("valid ").count(), documents.len());
    let mut wrong = documents[0].clone();
    wrong["spec"]["nonsense"] = json!(1);
    assert_eq!(validate(&[wrong]), "", "it would be found");
}
