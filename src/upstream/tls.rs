//! TLS to an upstream: from what is configured to what handshakes need, and the handshake.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use frontgate_filters::words::fnv;
use frontgate_filters::words::spanned::{Problem, Spanned};
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::cause::Cause;
use super::h1::ROOM;
use crate::certificates::{Files, Pair, authorities, contents, provider};
use crate::config::model::{Upstream, UpstreamTls};
use crate::router::host_of;

/// How the endpoints of an upstream are spoken to over TLS. It never changes: where its files do, another one takes its place.
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    /// What certificates have to be for; without it each endpoint's own address.
    name: Option<ServerName<'static>>,
    /// The end of the certificate that is shown to the upstream, in seconds since 1970, with its file as it is written.
    pub end: Option<(String, i64)>,
    /// What is probably not meant.
    pub warnings: Vec<Problem>,
    /// Tells the names and the contents of the files from others.
    pub contents: u64,
}

impl Tls {
    /// Reads and checks what the `tls` of an upstream names; none where it is spoken to in clear text. What `before` was made of the same is
    /// kept, with the sessions that can be resumed.
    pub(crate) fn read(upstream: &Upstream, files: Files<'_>, before: Option<&Arc<Self>>) -> Result<Option<Arc<Self>>, Vec<Problem>> {
        let Some(written) = &upstream.tls else { return Ok(None) };
        // Before they are read to be used: what changes in between is seen the next time.
        let contents = contents_of(upstream, files);
        if let Some(same) = before.filter(|before| before.contents == contents) {
            return Ok(Some(same.clone()));
        }
        let mut problems = Vec::new();
        let roots = match &written.ca {
            Some(path) => authorities(path, files).map(Arc::new),
            None if system().is_empty() => Err(Problem::at(
                written.place,
                "there are no certificates of the system to verify the upstream with: name its authority as `ca`",
            )),
            None => Ok(system()),
        };
        let pair = match (&written.cert, &written.key) {
            (Some(cert), Some(key)) => Pair::read(cert, key, files).map(|pair| Some((cert, pair))),
            _ => Ok(None),
        };
        let (roots, pair) = match (roots, pair) {
            (Ok(roots), Ok(pair)) => (roots, pair),
            (roots, pair) => {
                problems.extend(roots.err());
                problems.extend(pair.err());
                return Err(problems);
            }
        };
        let end = pair.as_ref().map(|(cert, pair)| (cert.value.display().to_string(), pair.end));
        let warnings = pair.iter().filter_map(|(cert, pair)| pair.expiry(cert)).collect();
        let config = config(roots, pair.map(|(_, pair)| pair));
        let name = name(upstream).and_then(|name| ServerName::try_from(name).ok());
        Ok(Some(Arc::new(Self { config, name, end, warnings, contents })))
    }

    /// For a host that no upstream is: it is verified against the system's roots. None where it cannot be the name in a certificate.
    pub(crate) fn of_host(host: &str) -> Option<Arc<Self>> {
        static CONFIG: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| config(system(), None));
        let name = ServerName::try_from(host.to_owned()).ok()?;
        Some(Arc::new(Self { config: CONFIG.clone(), name: Some(name), end: None, warnings: Vec::new(), contents: 0 }))
    }

    /// The handshake with an endpoint whose own name is that, in which these protocols are offered, the preferred one first (RFC 7301). Whether
    /// HTTP/2 was agreed upon.
    pub(super) async fn handshake(
        &self,
        socket: TcpStream,
        own: impl FnOnce() -> ServerName<'static>,
        offered: &[&[u8]],
    ) -> Result<(Box<TlsStream<TcpStream>>, bool), Cause> {
        let name = self.name.clone().unwrap_or_else(own);
        let offered = offered.iter().map(|protocol| protocol.to_vec()).collect();
        let connector = TlsConnector::from(self.config.clone());
        let connecting = connector.with_alpn(offered).connect_with(name, socket, |session| session.set_buffer_limit(Some(ROOM)));
        let stream = connecting.await.map_err(|error| Cause::of(&error))?;
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((Box::new(stream), h2))
    }
}

/// TLS 1.2 and 1.3, always verified; sessions are resumed as long as this is kept.
fn config(roots: Arc<RootCertStore>, own: Option<Pair>) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().expect("the provider has both").with_root_certificates(roots);
    Arc::new(match own {
        Some(pair) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair.key))),
        None => builder.with_no_client_auth(),
    })
}

/// The system's authorities, read once.
pub(crate) fn system() -> Arc<RootCertStore> {
    static ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
        let mut roots = RootCertStore::empty();
        match rustls_native_certs::load_native_certs() {
            Ok(found) => drop(roots.add_parsable_certificates(found)),
            Err(error) => log::error!("the certificates of the system cannot be read: {error}"),
        }
        Arc::new(roots)
    });
    ROOTS.clone()
}

/// The name that an upstream's certificates have to be for, as far as the configuration says: `server_name`, else what `host` names.
pub(crate) fn name(upstream: &Upstream) -> Option<String> {
    let server_name = upstream.tls.as_ref().and_then(|tls| tls.server_name.as_ref()).map(|name| name.value.clone());
    server_name.or_else(|| {
        let host = host_of(upstream.host.as_ref()?).ok()?;
        Some(host.trim_start_matches('[').trim_end_matches(']').to_owned())
    })
}

/// The name that is verified, and the files.
pub(crate) type Named<'u> = (Option<String>, [Option<&'u Spanned<PathBuf>>; 3]);

/// What of an upstream's `tls` its connections are made with: the name that is verified, and the files, authorities first. Connections are kept
/// where this is the same, and so are the files' contents.
pub(crate) fn named(upstream: &Upstream) -> Option<Named<'_>> {
    let UpstreamTls { server_name: _, ca, cert, key } = &upstream.tls.as_ref()?.value;
    Some((name(upstream), [ca, cert, key].map(Option::as_ref)))
}

/// Tells the names and the contents of the files that an upstream's `tls` says from others.
pub(super) fn contents_of(upstream: &Upstream, files: Files<'_>) -> u64 {
    let Some((name, named)) = named(upstream) else { return 0 };
    let name = name.unwrap_or_default();
    let begin = fnv::fnv1a(fnv::BASIS, &[u8::from(named[0].is_some()), u8::from(named[1].is_some())]);
    let begin = fnv::fnv1a(fnv::fnv1a(begin, &name.len().to_le_bytes()), name.as_bytes());
    contents(begin, named.into_iter().flatten(), files)
}
