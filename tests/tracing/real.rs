//! What others read of it: OpenTelemetry's own messages in Python, and its Collector.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use frontgate_test_support::{skipped, tool};
use serde_json::Value;

use super::*;
use crate::harness::{PATIENCE, until};

/// Prints the spans of a request on standard input as the messages' own names have them.
const DECODE: &str = "
import json, sys
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
print(json.dumps(MessageToDict(ExportTraceServiceRequest.FromString(sys.stdin.buffer.read()))))
";

fn decoded(python: &PathBuf, body: &[u8]) -> Value {
    let mut child = Command::new(python).args(["-c", DECODE]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(body).unwrap();
    serde_json::from_slice(&child.wait_with_output().unwrap().stdout).expect("a message")
}

#[test]
fn opentelemetry_s_own_messages_say_the_same() {
    let Some(python) = tool("python3") else { return };
    let probe = "import google.protobuf, opentelemetry.proto.trace.v1.trace_pb2";
    if !Command::new(&python).args(["-c", probe]).stderr(Stdio::null()).status().unwrap().success() {
        return skipped("Python has no `opentelemetry-proto`");
    }
    let (origin, collector) = (origin(), Collector::start());
    let gateway = gateway("decoded", origin.address, &collector.0.address, "", &[SOON, ("OTEL_RESOURCE_ATTRIBUTES", "team=K%C3%B6ln")]);

    assert_eq!(ask(gateway.address, "/again/503", &called("01")).status, 503);
    collector.wait_for(4);
    let body = &collector.0.last().body;
    let (ours, theirs) = (spans(body), decoded(&python, body));

    let of_resource = &theirs["resourceSpans"][0];
    let text = |attributes: &Value, name: &str| {
        let found = attributes.as_array().unwrap().iter().find(|attribute| attribute["key"] == name).cloned().unwrap_or_default();
        let value = &found["value"];
        value["stringValue"].as_str().or(value["intValue"].as_str()).unwrap_or_default().to_owned()
    };
    assert_eq!(text(&of_resource["resource"]["attributes"], "team"), "Köln");
    let of_scope = &of_resource["scopeSpans"][0];
    assert_eq!((&of_scope["scope"]["name"], &of_scope["scope"]["version"]), (&"frontgate".into(), &env!("CARGO_PKG_VERSION").into()));
    let list = of_scope["spans"].as_array().unwrap();
    assert_eq!((list.len(), ours.len()), (4, 4));
    use base64::Engine as _;
    let hex = |value: &Value| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap_or_default()).unwrap();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    for (span, own) in list.iter().zip(&ours) {
        assert_eq!(
            (hex(&span["traceId"]), hex(&span["spanId"]), hex(&span["parentSpanId"])),
            (TRACE.to_owned(), own.id.clone(), own.parent.clone())
        );
        assert_eq!((&span["name"], &span["flags"]), (&own.name.as_str().into(), &own.flags.into()));
        assert_eq!(span["kind"], if own.is_server() { "SPAN_KIND_SERVER" } else { "SPAN_KIND_CLIENT" });
        assert_eq!((&span["startTimeUnixNano"], &span["endTimeUnixNano"]), (&own.start.to_string().into(), &own.end.to_string().into()));
        assert_eq!(span["status"]["code"], "STATUS_CODE_ERROR");
        assert_eq!(span["attributes"].as_array().unwrap().len(), own.attributes.len());
        for (name, value) in &own.attributes {
            assert_eq!(text(&span["attributes"], name), *value, "{name}");
        }
    }
}

/// The Collector's process, ended with the test.
struct Running {
    child: Child,
    folder: PathBuf,
    said: Arc<Mutex<String>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The Collector, which takes spans at this address and prints them. `.ci/run` builds it of what is in `otelcol/`.
fn run(program: &PathBuf, address: SocketAddr) -> Running {
    let folder = std::env::temp_dir().join(format!("frontgate-test-{}-otelcol-{}", std::process::id(), address.port()));
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "receivers: {{otlp: {{protocols: {{http: {{endpoint: \"{address}\"}}}}}}}}\nexporters: {{debug: {{verbosity: detailed}}}}\n\
         service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}}}\n"
    );
    std::fs::write(folder.join("collector.yaml"), text).unwrap();
    let config = format!("file:{}", folder.join("collector.yaml").display());
    let mut child = Command::new(program).args(["--config", &config]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let said = Arc::new(Mutex::new(String::new()));
    let heard = said.clone();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            *heard.lock().unwrap() += &(line + "\n");
        }
    });
    let collector = Running { child, folder, said };
    until("the Collector", || std::net::TcpStream::connect(address).is_ok());
    collector
}

#[test]
fn the_collector_takes_spans_and_is_missed_by_nobody_while_it_is_killed() {
    let Some(program) = tool("otelcol") else { return };
    let origin = origin();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let collector = run(&program, address);
    let gateway = gateway("otelcol", origin.address, &address, "", &[SOON, ("OTEL_BSP_EXPORT_TIMEOUT", "2000")]);

    assert_eq!(ask(gateway.address, "/shop/7?token=s3cr3t", &called("01")).status, 200);
    let said = || collector.said.lock().unwrap().clone();
    until("the spans in the Collector", || said().contains("url.path: Str(/shop/7)"));
    until("what the gateway counts", || metric(&gateway, "frontgate_spans_sent_total") == 2.0);

    let said = said();
    let has = |words: &[&str]| said.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(has(&["Trace ID", TRACE]) && has(&["Parent ID", CALLER]), "{said}");
    assert!(has(&["Kind", "Server"]) && has(&["Kind", "Client"]) && has(&["Name", "GET /shop/{id}"]), "{said}");
    assert!(
        has(&["service.name", "Str(frontgate)"]) && has(&["http.response.status_code", "Int(200)"]) && !said.contains("s3cr3t"),
        "{said}"
    );

    drop(collector);
    let end = std::time::Instant::now() + PATIENCE;
    while dropped(&gateway, "unreachable") == 0.0 {
        assert_eq!(ask(gateway.address, "/shop/8", "").status, 200);
        assert!(std::time::Instant::now() < end);
    }
    let collector = run(&program, address);
    let said = || collector.said.lock().unwrap().clone();
    until("spans in the one that took its place", || {
        assert_eq!(ask(gateway.address, "/shop/9", "").status, 200);
        said().contains("url.path: Str(/shop/9)")
    });
}
