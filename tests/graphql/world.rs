//! A small world of REST services, users with their orders, products and reviews, and a gateway with a graph over it.

use std::net::TcpStream;
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::compose::mock::{self, ask, decoded, target};
use crate::harness::origin::Request;
use crate::harness::{Origin, Process, Reply};

/// The schema, what its fields are answered from, the world's data and what is asked of it.
pub static CASES: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../data/compose/graphql/cases.json")).expect("JSON"));

/// The gateway, and the services in one: each below its name.
pub struct World {
    pub process: Process,
    pub origin: Origin,
}

impl World {
    /// `route` are further keys of the route, `graphql` further keys of the graph, each a whole line.
    pub fn start(name: &str, route: &str, graphql: &str) -> Self {
        Self::with(name, route, graphql, "")
    }

    /// The same with further sections.
    pub fn with(name: &str, route: &str, graphql: &str, more: &str) -> Self {
        let origin = Origin::start(answer);
        let mut text = format!(
            "version: 1\nserver:\n  listeners: [{{address: 127.0.0.1:0}}]\n  admin: 127.0.0.1:0\n{}",
            mock::upstreams(["users", "catalog", "orders", "reviews", "search", "prometheus"].map(|name| (name, origin.address)))
        );
        text.push_str(&format!("routes:\n  - name: graph\n    path: /graphql\n    {route}\n    graphql:\n      schema: |\n"));
        for line in CASES["schema"].as_str().unwrap().lines() {
            text.push_str(&format!("        {line}\n"));
        }
        text.push_str("      fields:\n");
        for (field, call) in CASES["fields"].as_object().unwrap() {
            text.push_str(&format!("        {field}: {}\n", under_its_name(call)));
        }
        text.push_str(&format!("      types: {}\n{graphql}\n{more}", CASES["types"]));
        Self { process: Process::start(name, &text), origin }
    }

    /// A query by POST, as a client of today asks.
    pub fn query(&self, query: &str) -> Reply {
        self.post(&json!({"query": query}))
    }

    pub fn post(&self, body: &Value) -> Reply {
        let headers = [("Content-Type", "application/json"), ("Accept", "application/graphql-response+json")];
        ask(self.process.address, "POST", "/graphql", &headers, Some(&body.to_string()))
    }

    /// What was asked for, in its order.
    pub fn asked(&self) -> Vec<String> {
        self.origin.received().iter().map(|request| target(request).whole.to_owned()).collect()
    }

    pub fn metric(&self, series: &str) -> f64 {
        let text = self.process.ask("GET", "/metrics").text();
        text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()).unwrap_or(0.0)
    }
}

/// The call with its path below the name of its upstream: all of them are one service here.
fn under_its_name(call: &Value) -> Value {
    let mut call = call.clone();
    let Some(upstream) = call["upstream"].as_str().map(str::to_owned) else { return call };
    for verb in ["get", "post"] {
        if let Some(path) = call.get(verb).and_then(Value::as_str).map(|path| format!("/{upstream}{path}")) {
            call[verb] = path.into();
        }
    }
    call
}

/// Answers as the services of this world do.
fn answer(request: &Request, stream: &mut TcpStream) -> bool {
    let asked = target(request);
    let data = &CASES["data"];
    let parameter = |name: &str| mock::parameters(asked.query)[name][0].as_str().unwrap_or_default().to_owned();
    let one = |value: &Value| if value.is_null() { (404, json!({"error": "no"})) } else { (200, value.clone()) };
    let limited = |values: Vec<Value>| {
        let limit = parameter("limit").parse().unwrap_or(0);
        values.into_iter().take(limit).collect::<Vec<_>>()
    };
    let parts: Vec<String> = asked.path.split('/').skip(1).map(|part| decoded(part, false)).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let is_post = request.line().starts_with("POST ");
    let (status, body) = match parts[..] {
        ["users", "users", id] => one(&data["users"][id]),
        ["users", "version"] => (200, json!({"v": "v2.4"})),
        ["users", "broken"] => (
            200,
            json!({"anInt": "x", "aFloat": "1.5", "aString": 12, "aBool": 1, "anId": 7, "aStatus": "OTHER",
                   "list": [1, "a", null, 2_147_483_648_u32], "listNN": [1, null], "obj": [1]}),
        ),
        ["users", "strict"] => (200, json!({"must": null})),
        ["catalog", "products", "15"] => (500, json!({})),
        ["catalog", "products", id] => one(&data["products"][id]),
        ["catalog", "products"] if asked.query.contains("ids=") => {
            let ids = parameter("ids");
            let mut items: Vec<Value> = ids.split(',').map(|id| data["products"][id].clone()).filter(|item| !item.is_null()).collect();
            items.reverse();
            (200, json!({"items": items}))
        }
        ["catalog", "products"] => {
            let all = data["products"].as_object().unwrap().values().cloned().collect();
            (200, json!({"items": limited(all)}))
        }
        ["catalog", "products", id, "ratings"] if is_post => (201, json!({"product": id, "stars": 4, "average": 4.25})),
        ["catalog", "fail"] if is_post => (422, json!({"error": "x"})),
        ["orders", "orders"] if parameter("user") == "3" => (503, json!({"error": "db"})),
        ["orders", "orders"] => (200, limited(data["orders"][parameter("user")].as_array().cloned().unwrap_or_default()).into()),
        ["reviews", "reviews"] => {
            let ids = parameter("product");
            let is_asked = |review: &&Value| {
                let product = review["product"].to_string();
                ids.split(',').any(|id| id == product)
            };
            (200, data["reviews"].as_array().unwrap().iter().filter(is_asked).cloned().collect::<Vec<_>>().into())
        }
        ["search", "search"] if parameter("q") == "down" => (502, json!({})),
        ["search", "search"] => {
            let odd = json!({"kind": "z", "id": 5});
            let last = if parameter("q") == "odd" { &odd } else { &data["products"]["11"] };
            (200, json!({"hits": [data["products"]["10"], data["users"]["1"], last]}))
        }
        ["search", "node", kind, id] => one(&data[if kind == "USER" { "users" } else { "products" }][id]),
        ["prometheus", ..] => (
            200,
            json!({"status": "success", "data": {"resultType": "vector", "result": [
                {"metric": {"__name__": "up"}, "value": [1, "0.5"]}, {"metric": {"__name__": "down"}, "value": [2, "1"]}]}}),
        ),
        _ => (404, json!({"error": "unknown"})),
    };
    mock::answer(stream, status, &body)
}
