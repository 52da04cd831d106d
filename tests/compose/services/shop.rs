//! A shop as a GraphQL service: it reads what it is sent as such a service does, and answers by the operation's name.

use std::io::Write;
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::compose::mock::{self, target};
use crate::harness::Origin;
use crate::harness::origin::Request;

/// What a service was sent, in its order.
pub fn sent(origin: &Origin) -> Vec<Value> {
    origin.received().iter().map(|request| serde_json::from_slice(&request.body).expect("JSON")).collect()
}

/// Answers a request, at `/busy` with 503.
pub fn answer(request: &Request, stream: &mut TcpStream) -> bool {
    if target(request).path == "/busy" {
        return mock::answer(stream, 503, &json!({"errors": [{"message": "busy"}]}));
    }
    let body: Option<Value> = serde_json::from_slice(&request.body).ok();
    let Some(body) = body.filter(|_| request.line().starts_with("POST ") && request.header("content-type") == ["application/json"]) else {
        return mock::answer(stream, 400, &json!({"errors": [{"message": "no request of GraphQL"}]}));
    };
    if let Some(how) = body["variables"]["how"].as_str() {
        return odd(how, stream);
    }
    match executed(body["query"].as_str().unwrap_or_default(), &body["variables"]) {
        Ok(data) => mock::send(stream, 200, "application/graphql-response+json", "", json!({"data": data}).to_string().as_bytes()),
        Err(why) => mock::answer(stream, 200, &json!({"errors": [{"message": why, "path": ["secret of the shop"]}], "data": null})),
    }
}

fn executed(document: &str, variables: &Value) -> Result<Value, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(format!("{other} is no ID")),
    };
    let name = document.split([' ', '(', '{']).nth(1).unwrap_or_default();
    match name {
        "Cart" => {
            let first = match &variables["first"] {
                Value::Null => 10,
                first => first.as_i64().ok_or_else(|| format!("{first} is no Int"))?,
            };
            let items: Vec<Value> = (1..=first.min(3)).map(|id| json!({"product_id": id})).collect();
            let mut cart = json!({"items": items});
            if document.contains("{ id ") {
                cart["id"] = text(&variables["id"])?.into();
            }
            if document.contains("$deep") {
                cart["extra"] = json!({"deep": variables["deep"]});
            }
            Ok(json!({"cart": cart}))
        }
        "Products" => {
            let ids = variables["ids"].as_array().ok_or("no list")?;
            let product = |id: &Value| Ok(json!({"id": text(id)?, "title": format!("P{}", text(id)?)}));
            // The last one first: nobody promises an order.
            ids.iter().rev().map(product).collect::<Result<Vec<_>, String>>().map(|all| json!({"products": all}))
        }
        "Product" => Ok(json!({"product": {"id": text(&variables["id"])?, "title": format!("P{}", text(&variables["id"])?)}})),
        "Rate" => Ok(json!({"rate": {"stars": 2}})),
        other => Err(format!("there is no {other}")),
    }
}

/// What no service should answer.
fn odd(how: &str, stream: &mut TcpStream) -> bool {
    let json = |text: &str| text.as_bytes().to_vec();
    let (status, kind, body) = match how {
        "partial" => (200, "application/json", json(r#"{"data":{"a":"secret"},"errors":[{"message":"secret"},{"message":"secret"}]}"#)),
        "errors" => (200, "application/json", json(r#"{"errors":[{"message":"secret"}]}"#)),
        "text" => (200, "application/json", json(r#"{"data":{"a":1},"errors":"secret"}"#)),
        "null" => (200, "application/json", json(r#"{"data":null}"#)),
        "list" => (200, "application/json", json(r#"[{"data":{"a":1}}]"#)),
        "none" => (200, "application/json", json(r#"{"a":1}"#)),
        "twice" => (200, "application/json", json(r#"{"data":{"a":1},"data":{"a":2}}"#)),
        "cut" => (200, "application/json", json(r#"{"data":{"a":1}"#)),
        "html" => (200, "text/html", json("<html>secret</html>")),
        "lies" => (200, "text/html", json(r#"{"data":{"a":1}}"#)),
        "nothing" => return stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_ok(),
        "deep" => (200, "application/json", json(&format!(r#"{{"data":{{"a":{}{}}}}}"#, "[".repeat(20_000), "]".repeat(20_000)))),
        "huge" => (200, "application/json", json(&format!(r#"{{"data":{{"a":"{}"}}}}"#, "x".repeat(2 << 20)))),
        "stranger" => (401, "application/graphql-response+json", json(r#"{"errors":[{"message":"secret"}]}"#)),
        "wrong" => (400, "application/graphql-response+json", json(r#"{"errors":[{"message":"secret"}]}"#)),
        _ => (500, "application/json", json(r#"{"errors":[{"message":"secret"}]}"#)),
    };
    mock::send(stream, status, kind, "", &body)
}
