//! `frontgate demo`: an embedded configuration in front of embedded upstreams, and lines to try.

mod shop;

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use super::exit;
use crate::config;
use crate::server::{Running, start};

const CONFIGURATION: &str = include_str!("../../../conf/demo.yaml");

/// Serves the demo until a signal ends it.
pub fn run() -> ExitCode {
    let started = shop::start("v2.4").and_then(|one| Ok((one, shop::start("v2.5")?))).map_err(|error| error.to_string());
    let (catalog, next) = match started {
        Ok(addresses) => addresses,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "frontgate: the demo's upstreams cannot be started: {why}");
            return ExitCode::from(exit::RUNTIME);
        }
    };
    let text = configuration(catalog, next);
    let read = move || config::load_text("conf/demo.yaml", &text);
    match read() {
        Ok(loaded) => {
            let running = start(loaded, Box::new(read));
            if let Ok(running) = &running {
                let _ = std::io::stdout().write_all(guide(running).as_bytes());
            }
            super::run::serve(running)
        }
        Err(problems) => {
            let _ = writeln!(std::io::stderr(), "{}", problems.render(false));
            ExitCode::from(exit::CONFIG)
        }
    }
}

/// The embedded text, with the upstreams' addresses in it.
fn configuration(catalog: SocketAddr, next: SocketAddr) -> String {
    CONFIGURATION.replace("${DEMO_CATALOG}", &catalog.to_string()).replace("${DEMO_CATALOG_NEXT}", &next.to_string())
}

fn guide(running: &Running) -> String {
    let gateway = format!("http://{}", running.addresses()[0]);
    let admin = running.admin().map(|admin| format!("http://{admin}")).unwrap_or_default();
    let mut text = String::from("\nA small shop is behind the gateway. Try:\n\n");
    for (line, what) in [
        (format!("curl -i {gateway}/api/v1/products"), "a list; X-BFF-Version tells which of two endpoints answered"),
        (format!("curl -i {gateway}/api/v1/products/7"), "one product, its path rewritten on the way"),
        (format!("curl -i {gateway}/api/v1/users/1"), "a user, from another service's path"),
        (format!("curl -i -X DELETE {gateway}/api/v1/products/7"), "405 with Allow: the route has GET only"),
        (format!("curl -i {gateway}/slow"), "504: the endpoint takes longer than first_byte allows"),
        (format!("curl -i {gateway}/failing"), "the endpoint's own 500, passed on and stamped"),
        (format!("curl -i {gateway}/gone"), "502: nothing listens there"),
        (format!("curl -i {gateway}/old/7"), "a redirect"),
        (format!("curl -i --path-as-is {gateway}/images/../api//v1/%70roducts/7"), "the path is made normal before it is routed"),
        (format!("curl -i {gateway}/a%2fb"), "400: an encoded slash could be read in two ways"),
        (format!("curl -s {admin}/metrics | grep frontgate_requests_total"), "what was counted"),
        (format!("curl -s -X POST {admin}/-/reload"), "reads the configuration again"),
    ] {
        text.push_str(&format!("  {line}\n      {what}\n"));
    }
    text.push_str("\nThe access log follows. Ctrl-C ends the demo.\n\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_serves_what_it_tells_to_try() {
        let (one, two) = (shop::start("v2.4").expect("a shop"), shop::start("v2.5").expect("a shop"));
        let text = configuration(one, two).replace("{access_log: {to: stdout}}", "{access_log: \"off\"}");
        let loaded = config::load_text("conf/demo.yaml", &text).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings.render(false));
        let running = start(loaded, Box::new(|| config::load(None))).expect("it starts");

        let ask = |path: &str| {
            use std::io::Read;
            let mut stream = std::net::TcpStream::connect(running.addresses()[0]).expect("it listens");
            write!(stream, "GET {path} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n").expect("a request");
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("an answer");
            text
        };

        for (path, status, words) in [
            ("/api/v1/products", 200, "\"items\""),
            ("/api/v1/products/7", 200, "\"id\":7"),
            ("/api/v1/users/1", 200, "\"plan\""),
            ("/images/7.svg", 200, "<svg"),
            ("/slow", 504, "upstream_timeout"),
            ("/failing", 500, "out of order"),
            ("/gone", 502, "upstream_unreachable"),
            ("/old/7", 308, "/api/v1/products/7"),
            ("/", 200, "hello"),
            ("/a%2fb", 400, "bad_request"),
        ] {
            let answer = ask(path);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(words), "{path}: {answer}");
        }
        assert!(guide(&running).contains("curl"));
    }
}
