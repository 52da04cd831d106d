//! From files to what handshakes need: which certificate for which name, and which clients are taken.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use frontgate_filters::words::fnv;
use frontgate_filters::words::spanned::{Problem, Spanned};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;

use crate::certificates::{self, Files, Pair, authorities, provider, unreadable};
use crate::config::model::{CertificatePair, ClientAuth, ClientAuthMode, ListenerTls, MinVersion};

/// How handshakes are made on a listener.
pub(crate) struct Server {
    /// As rustls needs it.
    pub config: Arc<ServerConfig>,
    /// The end of each certificate, in seconds since 1970, by its file as it is written.
    pub ends: Vec<(String, i64)>,
    /// What is probably not meant.
    pub warnings: Vec<Problem>,
    /// Tells the contents of its files from others.
    pub contents: u64,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("ends", &self.ends).finish_non_exhaustive()
    }
}

/// One for the life of the process: a client that was here before resumes its session whatever was reloaded since.
fn tickets() -> Option<Arc<dyn ProducesTickets>> {
    static TICKETS: LazyLock<Option<Arc<dyn ProducesTickets>>> = LazyLock::new(|| aws_lc_rs::Ticketer::new().ok());
    TICKETS.clone()
}

impl Server {
    /// Reads and checks everything that `tls` names. `h2` offers HTTP/2 first.
    pub(crate) fn build(tls: &ListenerTls, h2: bool, http1: bool, files: Files<'_>) -> Result<Self, Vec<Problem>> {
        let (mut problems, mut warnings, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
        // Before they are read to be used: what changes in between is seen the next time.
        let contents = contents(tls, files);
        for written in &tls.certificates {
            match Pair::read(&written.cert, &written.key, files) {
                Ok(pair) => {
                    let nameless = || {
                        let name = written.cert.value.display();
                        let what = "names no host (it has no subject alternative name): clients will refuse it";
                        Problem::doubtful(written.cert.place, format!("the certificate in `{name}` {what}"))
                    };
                    warnings.extend(pair.expiry(&written.cert).or_else(|| pair.names.is_empty().then(nameless)));
                    pairs.push((written, pair));
                }
                Err(problem) => problems.push(problem),
            }
        }
        let verifier = match &tls.client_auth {
            None => None,
            Some(auth) => match clients(auth, files) {
                Ok(verifier) => Some(verifier),
                Err(problem) => {
                    problems.push(problem);
                    None
                }
            },
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        warnings.extend(twice(&pairs));
        let versions: &[_] = match tls.min_version {
            MinVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            MinVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions).expect("the provider has both");
        let asks = verifier.is_some();
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let ends = pairs.iter().map(|(written, pair)| (written.cert.value.display().to_string(), pair.end)).collect();
        let names = Names::new(pairs.into_iter().map(|(_, pair)| pair).collect()).expect("a listener with `tls` has a certificate");
        let names = Names { only_h2: h2 && !http1, ..names };
        let mut config = builder.with_cert_resolver(Arc::new(names));
        config.alpn_protocols =
            [(h2, b"h2".to_vec()), (http1, b"http/1.1".to_vec())].into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match tickets() {
            // A resumed session is not verified again: where certificates of clients are asked for there are none.
            Some(tickets) if !asks => config.ticketer = tickets,
            _ => config.send_tls13_tickets = 0,
        }
        Ok(Self { config: Arc::new(config), ends, warnings, contents })
    }
}

/// Certificates that are never shown for a name, since one before them is: a second one is of use where its key is of another kind.
fn twice(pairs: &[(&Spanned<CertificatePair>, Pair)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, (written, pair)) in pairs.iter().enumerate() {
        let is_same = |other: &Pair, name: &String| other.names.contains(name) && other.key.key.algorithm() == pair.key.key.algorithm();
        let first = pair.names.iter().find_map(|name| {
            let (first, _) = pairs[..index].iter().find(|(_, other)| is_same(other, name))?;
            Some((name, first.cert.value.display()))
        });
        if let Some((name, first)) = first {
            let message =
                format!("the certificate in `{}` is never shown for `{name}`: the one in `{first}` is", written.cert.value.display());
            problems.push(Problem::doubtful(written.cert.place, message).help("leave one of them out"));
        }
    }
    problems
}

/// Tells the contents of all files that `tls` names from others; one that cannot be read counts as an empty one.
pub(super) fn contents(tls: &ListenerTls, files: Files<'_>) -> u64 {
    let pairs = tls.certificates.iter().flat_map(|pair| [&pair.cert, &pair.key]);
    let clients = tls.client_auth.iter().flat_map(|auth| std::iter::once(&auth.ca).chain(&auth.crl));
    certificates::contents(fnv::BASIS, pairs.chain(clients), files)
}

type Verifier = Arc<dyn rustls::server::danger::ClientCertVerifier>;

fn clients(auth: &Spanned<ClientAuth>, files: Files<'_>) -> Result<Verifier, Problem> {
    let roots = authorities(&auth.ca, files)?;
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    if let Some(path) = &auth.crl {
        let lists = CertificateRevocationListDer::pem_slice_iter(&certificates::read(path, files)?).collect::<Result<Vec<_>, _>>();
        let lists = lists.map_err(|error| unreadable(path, "list of revoked certificates", &error))?;
        if lists.is_empty() {
            return Err(unreadable(path, "list of revoked certificates", &pem::Error::NoItemsFound));
        }
        // The authorities above the one that issued a client's certificate need not have a list here.
        builder = builder.with_crls(lists).only_check_end_entity_revocation();
    }
    if auth.mode == ClientAuthMode::Optional {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| Problem::at(auth.place, format!("clients cannot be verified with these files: {error}")))
}

/// Which certificate is shown for which name.
#[derive(Debug)]
struct Names {
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By what follows the star and its dot.
    wildcards: HashMap<String, Vec<Arc<CertifiedKey>>>,
    first: Vec<Arc<CertifiedKey>>,
    /// Whether HTTP/2 is all that is spoken: who asks for no protocol would speak HTTP/1.1.
    only_h2: bool,
}

impl Names {
    fn new(pairs: Vec<Pair>) -> Option<Self> {
        let first = pairs.first()?;
        let alike = pairs.iter().filter(|pair| pair.names == first.names).map(|pair| pair.key.clone()).collect();
        let mut names = Self { exact: HashMap::new(), wildcards: HashMap::new(), first: alike, only_h2: false };
        for pair in &pairs {
            for name in &pair.names {
                let keys = match name.strip_prefix("*.") {
                    Some(suffix) => names.wildcards.entry(suffix.to_owned()),
                    None => names.exact.entry(name.clone()),
                };
                keys.or_default().push(pair.key.clone());
            }
        }
        Some(names)
    }

    /// The certificates for this name: its own, else those of a wildcard for its first label, else the listener's first.
    fn find(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let Some(name) = name.map(str::to_ascii_lowercase) else { return &self.first };
        let wildcard = || self.wildcards.get(name.split_once('.')?.1);
        self.exact.get(&name).or_else(wildcard).unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if self.only_h2 && hello.alpn().is_none() {
            return None;
        }
        let keys = self.find(hello.server_name());
        // Two keys for one name are of two kinds: the first that this client can verify.
        keys.iter().find(|key| key.key.choose_scheme(hello.signature_schemes()).is_some()).or(keys.first()).cloned()
    }
}
