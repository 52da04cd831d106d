//! The manifests: of the right kinds and fields, and of numbers that fit the configuration that is mounted.

use std::io::Write;
use std::process::{Command, Stdio};

use frontgate_test_support::tool;
use serde_json::{Value, json};

use super::{documents, project, python_with, read, succeeds};

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
