use std::io::Write;
use std::net::Shutdown;

use base64::Engine;
use frontgate_test_support::vectors;
use serde_json::Value;

use crate::harness::client::read_reply;
use crate::harness::{Gateway, Origin, raw};

fn collection(file: &str) -> Option<Value> {
    let text = std::fs::read(vectors(file)?).expect("a file");
    Some(serde_json::from_slice(&text).expect("JSON"))
}

fn bytes_of(parts: &Value, host: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts.as_array().expect("parts") {
        if let Some(template) = part["template"].as_str() {
            for number in 0..part["times"].as_u64().unwrap_or(1) {
                bytes.extend_from_slice(template.replace("{i}", &number.to_string()).as_bytes());
            }
            continue;
        }
        let piece = base64::engine::general_purpose::STANDARD.decode(part["b64"].as_str().expect("base64")).expect("base64");
        for _ in 0..part["times"].as_u64().unwrap_or(1) {
            bytes.extend_from_slice(&piece);
        }
    }
    let text = bytes.windows(8).position(|window| window == b"@@HOST@@");
    match text {
        None => bytes,
        Some(_) => {
            let mut out = Vec::new();
            let mut rest = bytes.as_slice();
            while let Some(at) = rest.windows(8).position(|window| window == b"@@HOST@@") {
                out.extend_from_slice(&rest[..at]);
                out.extend_from_slice(host.as_bytes());
                rest = &rest[at + 8..];
            }
            out.extend_from_slice(rest);
            out
        }
    }
}

/// Sends the bytes, closes our half, and reads what comes: the status, or none where the connection just closed.
fn send(gateway: &Gateway, bytes: &[u8]) -> Option<u16> {
    let mut stream = raw(gateway.address);
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    read_reply(&mut stream, false).map(|reply| reply.status)
}

#[test]
fn what_must_be_rejected_is_rejected() {
    let Some(cases) = collection("http1-probe/cases.json") else { return };
    let origin = Origin::json("{}");
    let gateway = Gateway::over(origin.address, "half_close: true\ntimeouts: {header: 20s, body: 20s}", "");
    let host = gateway.address.to_string();
    let (mut tried, mut wrong) = (0, Vec::new());

    for case in cases.as_array().expect("cases") {
        let expected = case["expected"].as_str().unwrap_or_default();
        let must = case["scored"] == true && case["level"] == "Must" && expected.contains("400");
        if !must || !["Smuggling", "MalformedInput", "Compliance"].contains(&case["category"].as_str().unwrap_or_default()) {
            continue;
        }
        tried += 1;
        let id = case["id"].as_str().unwrap_or_default();
        let before = origin.received().len();
        let status = send(&gateway, &bytes_of(&case["parts"], &host));
        let refused = matches!(status, None | Some(400 | 408 | 413 | 414 | 431 | 501));
        // Extensions may stay behind instead: the origin sees a canonical chunk.
        let canonical = id.contains("CHUNK") && id.contains("EXT") && status == Some(200);
        if !(canonical || refused && origin.received().len() == before) {
            wrong.push(format!("{id}: {status:?}, expected {expected}"));
        }
        let listed = status
            .is_none_or(|status| expected.contains(&status.to_string()) || expected.contains("close") || expected.contains("timeout"));
        if !listed && !canonical {
            wrong.push(format!("{id}: {status:?} is not what its file says: {expected}"));
        }
    }

    println!("{tried} cases that must be rejected, {} wrong", wrong.len());
    assert!(tried >= 65, "{tried}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn good_requests_of_the_collection_pass() {
    let Some(cases) = collection("http1-probe/cases.json") else { return };
    let origin = Origin::json("{}");
    let gateway = Gateway::over(origin.address, "half_close: true\ntimeouts: {header: 20s, body: 20s}", "");
    let host = gateway.address.to_string();
    let mut wrong = Vec::new();
    let mut tried = 0;

    for case in cases.as_array().expect("cases") {
        let expected = case["expected"].as_str().unwrap_or_default();
        if case["scored"] == true && case["level"] == "Must" && (expected == "2xx" || expected == "Range2xx" || expected == "2xx + echo") {
            tried += 1;
            let status = send(&gateway, &bytes_of(&case["parts"], &host));
            if !status.is_some_and(|status| (200..300).contains(&status)) {
                wrong.push(format!("{}: {status:?}", case["id"]));
            }
        }
    }

    println!("{tried} cases that must be accepted, {} wrong", wrong.len());
    assert!(tried > 0 && wrong.is_empty(), "{tried} tried: {wrong:#?}");
}

#[test]
fn no_obfuscated_transfer_encoding_reaches_the_origin() {
    let Some(cases) = collection("te-mutations/cases.json") else { return };
    let origin = Origin::json("{}");
    let gateway = Gateway::over(origin.address, "half_close: true\ntimeouts: {header: 20s, body: 20s}", "");
    let mut wrong = Vec::new();
    let mut accepted = 0;

    for case in cases.as_array().expect("cases") {
        let lines = base64::engine::general_purpose::STANDARD.decode(case["header_lines_b64"].as_str().expect("base64")).expect("base64");
        let before = origin.received().len();
        let mut request = b"POST /mutation HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n".to_vec();
        request.extend_from_slice(&lines);
        request.extend_from_slice(b"\r\n\r\n0\r\n\r\n");
        let status = send(&gateway, &request);
        let received = origin.received();
        if status == Some(200) {
            accepted += 1;
        }
        let smuggled = received[before..].iter().any(|request| request.head.to_ascii_lowercase().contains("chunked"));
        if smuggled || (status != Some(400) && status != Some(200)) {
            wrong.push(format!("{} {:?}: {status:?}", case["name"], String::from_utf8_lossy(&lines)));
        }
    }

    println!("{} obfuscations, {accepted} accepted without the header, {} wrong", cases.as_array().map_or(0, Vec::len), wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}
