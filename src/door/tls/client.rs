//! What a client's certificate says, once it was verified.

use frontgate_filters::filter::ClientCertificate;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// The facts of a leaf certificate; nothing of one that this reader cannot read.
pub(super) fn facts(leaf: &CertificateDer<'_>) -> Option<ClientCertificate> {
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    let names = leaf.subject_alternative_name().ok().flatten();
    let san = names.iter().flat_map(|names| &names.value.general_names).filter_map(name).collect();
    let cn = leaf.subject().iter_common_name().filter_map(|name| name.as_str().ok().map(Into::into)).collect();
    Some(ClientCertificate { cn, subject: leaf.subject().to_string().into(), san })
}

/// A name that can be compared as text.
fn name(name: &GeneralName<'_>) -> Option<Box<str>> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => Some((*text).into()),
        GeneralName::IPAddress(bytes) => match *bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string().into()),
            bytes => <[u8; 16]>::try_from(bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string().into()),
        },
        _ => None,
    }
}
