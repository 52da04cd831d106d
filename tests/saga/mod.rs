//! Sagas through the real process: what becomes of them whatever fails, and wherever the process is killed.

mod bounds;
mod cases;
mod clients;
mod operators;
mod secrets;
mod services;
mod state;
mod upgrades;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::compose::mock::ask;
use crate::harness::gateway::patient;
use crate::harness::{Process, Reply, until};

use self::services::Services;

/// A client with a key.
const PATH: &str = "/api/v1/checkout";

/// How long an attempt of a step may take, and how many there are.
type Patience = (&'static str, u32);

/// A configuration of a checkout over these services, kept in this directory; `saga` are keys of it beside `steps`.
fn configuration(services: &Services, state: &str, saga: &str) -> String {
    configuration_with(services, state, saga, [("10s", 3); 3])
}

/// The same with other patience for each of its steps; an undo has as long as its step.
fn configuration_with(services: &Services, state: &str, saga: &str, steps: [Patience; 3]) -> String {
    let [stock, payments, orders] = services.addresses();
    let [(reserve, reserve_attempts), (charge, charge_attempts), (confirm, confirm_attempts)] = steps;
    format!(
        r#"version: 1
server:
  listeners: [{{address: "127.0.0.1:0"}}]
  admin: 127.0.0.1:0
  state_dir: {state}
  drain: {{timeout: 10s}}
upstreams:
  stock: {{endpoints: ["{stock}"]}}
  payments: {{endpoints: ["{payments}"]}}
  orders: {{endpoints: ["{orders}"]}}
routes:
  - name: checkout
    path: {PATH}
    methods: [POST, GET]
    saga:
      {saga}
      steps:
        reserve: {{upstream: stock, post: /reservations, body: {{sku: "{{body.sku}}"}}, timeout: {reserve}, attempts: {reserve_attempts}, undo: {{delete: "/reservations/by-key/{{reserve.key}}", timeout: {reserve}}}}}
        charge: {{upstream: payments, post: /charges, body: {{amount: "{{reserve.total}}"}}, timeout: {charge}, attempts: {charge_attempts}, undo: {{post: "/charges/by-key/{{charge.key}}/refund", timeout: {charge}}}}}
        confirm: {{upstream: orders, post: /orders, body: {{charge: "{{charge.id}}"}}, timeout: {confirm}, attempts: {confirm_attempts}}}
      answer: {{order: "{{confirm.id}}", total: "{{reserve.total}}", state: done, saga: "{{saga}}"}}
telemetry: {{access_log: off}}
"#
    )
}

/// The process with services around it.
struct Shop {
    process: Process,
    services: Services,
}

impl Shop {
    fn start(name: &str, services: Services, saga: &str) -> Self {
        let text = configuration(&services, "state", saga);
        Self::configured(name, services, &text)
    }

    fn configured(name: &str, services: Services, text: &str) -> Self {
        let folder = Process::folder(name);
        std::fs::write(folder.join("frontgate.yaml"), patient(text)).unwrap();
        Self { process: Process::start_at(folder, "frontgate.yaml", &["--no-watch"], "true"), services }
    }

    fn state_dir(&self) -> PathBuf {
        self.process.folder.join("state")
    }

    /// Begins a saga with this key.
    fn begin(&self, key: &str, body: &str) -> Reply {
        begin(self.process.address, key, body)
    }

    /// Asks what became of it.
    fn look(&self, key: &str) -> Reply {
        ask(self.process.address, "GET", PATH, &[("Idempotency-Key", key)], None)
    }

    /// Where a saga is, by its id: as operators are told.
    fn told(&self, id: &str) -> Value {
        let reply = self.process.ask("GET", &format!("/-/sagas/{id}"));
        if reply.status == 200 { reply.json() } else { json!({"state": null}) }
    }

    /// Waits until it is where nothing follows by itself. Where that is.
    fn settles(&self, id: &str) -> String {
        let mut state = String::new();
        until(&format!("an end of saga {id}"), || {
            state = self.told(id)["state"].as_str().unwrap_or_default().to_owned();
            matches!(&*state, "done" | "undone" | "stuck" | "abandoned")
        });
        state
    }

    fn metric(&self, series: &str) -> f64 {
        let page = self.process.ask("GET", "/metrics").text();
        let line = page.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse().ok()).unwrap_or_default()
    }
}

/// Begins a saga there.
fn begin(address: std::net::SocketAddr, key: &str, body: &str) -> Reply {
    let headers = [("Idempotency-Key", key), ("Content-Type", "application/json")];
    ask(address, "POST", PATH, &headers, Some(body))
}

/// The saga that an answer is about.
fn saga_of(reply: &Reply) -> String {
    reply.json()["saga"].as_str().unwrap_or_else(|| panic!("no saga in {}: {}", reply.status, reply.text())).to_owned()
}
