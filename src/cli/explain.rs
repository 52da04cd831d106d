//! `frontgate explain`: which route takes a request and why, what each filter decides, which upstream and what it is sent. Offline, or by the
//! running gateway.

use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use frontgate_filters::filter::ClientCertificate;
use frontgate_filters::words::claims::Claims;

use super::{Admin, exit, fail, loaded, operate};
use crate::explain::{Explanation, Posted, Question, certificate, explain};

/// The request to explain.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The method
    method: String,
    /// A URL, or a path. With https:// or wss:// it comes over TLS 1.3, and its host is the name that is asked for (SNI)
    url: String,
    /// A header, `Name: value`; may be given more than once
    #[arg(short = 'H', value_name = "K: V")]
    headers: Vec<String>,
    /// The request is a gRPC call, as one with its `content-type` is anyway
    #[arg(long)]
    grpc: bool,
    /// Claims, as a JSON object, in place of a token: nothing of them is checked
    #[arg(long, value_name = "JSON", value_parser = claims)]
    claims: Option<Given>,
    /// The client shows a certificate with this subject, such as `CN=alice,O=shop`: nothing of it is checked
    #[arg(long, value_name = "SUBJECT", value_parser = subject)]
    client_cert: Option<Subject>,
    /// A subject alternative name of that certificate; may be given more than once
    #[arg(long = "client-cert-san", value_name = "NAME")]
    san: Vec<String>,
    /// Who is connected; `trusted_proxies` may say who its client is
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    from: IpAddr,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
    /// Ask the running gateway, by what it knows just now: circuits, what limits have left, which endpoints take requests. Nothing of that
    /// changes
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    admin: Admin,
}

/// Explains it.
pub(super) fn run(path: Option<&Path>, arguments: &Arguments) -> ExitCode {
    let mut headers = arguments.headers.clone();
    if arguments.grpc && !headers.iter().any(|header| header.to_ascii_lowercase().starts_with("content-type:")) {
        headers.push("content-type: application/grpc".to_owned());
    }
    if arguments.live {
        return live(path, arguments, headers);
    }
    if arguments.admin.is_typed() {
        return fail(exit::USAGE, "`--admin` says where a running gateway is asked: write `--live`, too");
    }
    let loaded = match loaded(path) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let mut certificate = arguments.client_cert.as_ref().map(|subject| subject.certificate.clone());
    if !arguments.san.is_empty() {
        certificate.get_or_insert_default().san = arguments.san.iter().map(|name| name.as_str().into()).collect();
    }
    let question = Question {
        method: &arguments.method,
        url: &arguments.url,
        headers: &headers,
        peer: arguments.from,
        claims: arguments.claims.as_ref().map(|given| given.claims.clone()),
        certificate,
    };
    match explain(loaded, question) {
        Ok(told) => show(&told, arguments.json),
        Err(why) => fail(exit::RUNTIME, &why),
    }
}

/// Asks the running gateway.
fn live(path: Option<&Path>, arguments: &Arguments, headers: Vec<String>) -> ExitCode {
    let posted = Posted {
        method: arguments.method.clone(),
        url: arguments.url.clone(),
        headers,
        claims: arguments.claims.as_ref().and_then(|given| serde_json::from_str(&given.text).ok()),
        client_ip: arguments.from,
        client_cert: arguments.client_cert.as_ref().map(|subject| subject.text.clone()),
        client_cert_san: arguments.san.clone(),
    };
    match operate::explain(path, &arguments.admin, &posted) {
        Ok(told) => show(&told, arguments.json),
        Err(code) => code,
    }
}

fn show(told: &Explanation, json: bool) -> ExitCode {
    let text = if json { format!("{:#}\n", serde_json::to_value(told).unwrap_or_default()) } else { told.to_string() };
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// The subject of a certificate as it was typed, and read.
#[derive(Clone)]
struct Subject {
    text: String,
    certificate: ClientCertificate,
}

fn subject(text: &str) -> Result<Subject, String> {
    Ok(Subject { text: text.to_owned(), certificate: certificate(text)? })
}

/// Claims as they were typed, and read.
#[derive(Clone)]
struct Given {
    text: String,
    claims: Claims,
}

fn claims(text: &str) -> Result<Given, String> {
    let claims = Claims::read(text.as_bytes()).ok_or_else(|| "the claims are not a JSON object whose names are unique".to_owned())?;
    Ok(Given { text: text.to_owned(), claims })
}
