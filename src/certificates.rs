//! Certificates and keys in PEM files, for listeners and upstreams alike: read, checked against each other, and what is wrong said in words.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use frontgate_filters::words::fnv;
use frontgate_filters::words::spanned::{Problem, Spanned};
use parking_lot::Mutex;
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Version;

/// Reads a file that the configuration names.
pub(crate) type Files<'f> = &'f dyn Fn(&Spanned<PathBuf>) -> Result<Vec<u8>, String>;

/// A certificate that ends sooner than this is warned of.
const SOON: i64 = 14 * 24 * 3600;

/// The cryptography of every handshake.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    PROVIDER.clone()
}

/// The bytes of a file, or a problem where it is named.
pub(crate) fn read(path: &Spanned<PathBuf>, files: Files<'_>) -> Result<Vec<u8>, Problem> {
    files(path).map_err(|what| Problem::at(path.place, what))
}

/// Tells the contents of files from others, beginning with this hash; one that cannot be read counts as an empty one.
pub(crate) fn contents<'p>(begin: u64, paths: impl Iterator<Item = &'p Spanned<PathBuf>>, files: Files<'_>) -> u64 {
    paths.fold(begin, |hash, path| {
        let bytes = files(path).unwrap_or_default();
        fnv::fnv1a(fnv::fnv1a(hash, &bytes.len().to_le_bytes()), &bytes)
    })
}

/// Why a PEM file is none.
pub(crate) fn unreadable(path: &Spanned<PathBuf>, what: &str, error: &pem::Error) -> Problem {
    let what = match error {
        pem::Error::NoItemsFound => format!("there is no {what} in `{}`", path.value.display()),
        _ => format!("`{}` is not a PEM file that can be read", path.value.display()),
    };
    Problem::at(path.place, what)
}

/// The authorities in a file: at least one.
pub(crate) fn authorities(path: &Spanned<PathBuf>, files: Files<'_>) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    for item in CertificateDer::pem_slice_iter(&read(path, files)?) {
        let authority = item.map_err(|error| unreadable(path, "certificate", &error))?;
        let what = || format!("a certificate in `{}` cannot be read", path.value.display());
        roots.add(authority).map_err(|_| Problem::at(path.place, what()))?;
    }
    if roots.is_empty() {
        return Err(unreadable(path, "certificate", &pem::Error::NoItemsFound));
    }
    Ok(roots)
}

/// Keys for RSA that are shorter are broken by whoever has the means.
const SHORTEST_RSA: usize = 2048;

/// Whether a PEM file holds a key that a passphrase is needed for, in the form of PKCS #8 or in the older one (RFC 1421, section 4.6.1.1).
fn is_encrypted(pem: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pem);
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || text.lines().any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED"))
}

/// A certificate with its key, and what the certificate says.
pub(crate) struct Pair {
    /// Both, with the certificates of those who issued it.
    pub key: Arc<CertifiedKey>,
    /// The names of hosts that it is for, in lower case.
    pub names: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub end: i64,
}

impl Pair {
    /// Reads both files; they have to belong together.
    pub(crate) fn read(cert: &Spanned<PathBuf>, key: &Spanned<PathBuf>, files: Files<'_>) -> Result<Self, Problem> {
        let bytes = read(cert, files)?;
        let chain = CertificateDer::pem_slice_iter(&bytes)
            .map(|item| item.map(CertificateDer::into_owned))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unreadable(cert, "certificate", &error))?;
        if chain.is_empty() {
            return Err(unreadable(cert, "certificate", &pem::Error::NoItemsFound));
        }
        let pem = read(key, files)?;
        if is_encrypted(&pem) {
            let name = key.value.display();
            let help = format!("take its passphrase off: openssl pkey -in {name} -out {name}.plain");
            return Err(Problem::at(key.place, format!("the key in `{name}` is encrypted, and nobody is there to ask for its passphrase"))
                .help(help));
        }
        let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| unreadable(key, "private key", &error))?;
        let (_, leaf) = X509Certificate::from_der(&chain[0])
            .map_err(|_| Problem::at(cert.place, format!("the certificate in `{}` cannot be read", cert.value.display())))?;
        if leaf.version() != X509Version::V3 {
            let version = leaf.version().0 + 1;
            let message = format!(
                "the certificate in `{}` is X.509 version {version}: version 3 with a subjectAltName is needed",
                cert.value.display()
            );
            return Err(Problem::at(cert.place, message));
        }
        let small = match leaf.public_key().parsed() {
            Ok(PublicKey::RSA(rsa)) if rsa.key_size() < SHORTEST_RSA => Some(rsa.key_size()),
            _ => None,
        };
        let names = leaf.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let names =
            names.filter_map(|name| if let GeneralName::DNSName(name) = name { Some(name.to_ascii_lowercase()) } else { None }).collect();
        let end = leaf.validity().not_after.timestamp();
        let key = CertifiedKey::from_der(chain.clone(), private, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                let (cert, name) = (cert.value.display(), key.value.display());
                Problem::at(key.place, format!("the key in `{name}` does not belong to the certificate in `{cert}`"))
            }
            _ if small.is_some() => Problem::at(
                key.place,
                format!(
                    "the RSA key in `{}` has {} bits: at least {SHORTEST_RSA} are needed",
                    key.value.display(),
                    small.unwrap_or_default()
                ),
            ),
            _ => Problem::at(
                key.place,
                format!("the key in `{}` cannot be used: it is damaged, or of a kind that TLS does not know", key.value.display()),
            ),
        })?;
        Ok(Self { key: Arc::new(key), names, end })
    }

    /// Says that it has expired, or soon will have.
    pub(crate) fn expiry(&self, cert: &Spanned<PathBuf>) -> Option<Problem> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        let name = cert.value.display();
        let what = if self.end <= now {
            format!("the certificate in `{name}` has expired")
        } else if self.end - now < SOON {
            format!("the certificate in `{name}` expires in less than {} days", (self.end - now) / 86_400 + 1)
        } else {
            return None;
        };
        Some(Problem::doubtful(cert.place, what))
    }
}

/// What reading files again has brought.
#[derive(Debug)]
pub(crate) enum Renewed {
    /// Nothing has changed, or what is wrong was told before.
    Same,
    /// What they hold now is used from now on.
    Changed,
    /// They do not fit: what was used before stays in use.
    Refused(Vec<Problem>),
}

/// The contents that were refused last, so that they are told of once, and why they were.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    contents: AtomicU64,
    why: Mutex<Option<String>>,
}

impl Refused {
    /// Takes what files hold now where that is not what is held, and was not refused already.
    pub(crate) fn look(&self, held: u64, now: u64, take: impl FnOnce() -> Result<(), Vec<Problem>>) -> Renewed {
        if now == held {
            self.settle(0, None);
            return Renewed::Same;
        }
        if self.contents.load(Ordering::Relaxed) == now {
            return Renewed::Same;
        }
        match take() {
            Ok(()) => {
                self.settle(0, None);
                Renewed::Changed
            }
            Err(problems) => {
                let why: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
                self.settle(now, Some(why.join("; ")));
                Renewed::Refused(problems)
            }
        }
    }

    fn settle(&self, contents: u64, why: Option<String>) {
        self.contents.store(contents, Ordering::Relaxed);
        *self.why.lock() = why;
    }

    /// Why what the files hold is not used, where it is not.
    pub(crate) fn why(&self) -> Option<String> {
        self.why.lock().clone()
    }
}
