//! What a client's certificate says, once it was verified.

use frontgate_filters::filter::ClientCertificate;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

/// The facts of a leaf certificate; nothing of one that this reader cannot read.
pub(super) fn facts(leaf: &CertificateDer<'_>) -> Option<ClientCertificate> {
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    let names = leaf.subject_alternative_name().ok().flatten();
    let san = names.iter().flat_map(|names| &names.value.general_names).filter_map(name).collect();
    let cn = leaf.subject().iter_common_name().filter_map(|name| name.as_str().ok().map(Into::into)).collect();
    Some(ClientCertificate { cn, subject: subject(leaf.subject()).into(), san })
}

/// A subject as one text, in the certificate's order: `CN=alice, O=Shop`. What separates there is escaped where it belongs to a value
/// (RFC 4514, section 2.4), so that no name can look like several.
fn subject(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    for relative in name.iter() {
        for (index, attribute) in relative.iter().enumerate() {
            text.push_str(if index > 0 { " + " } else { "" });
            match oid2abbrev(attribute.attr_type(), oid_registry()) {
                Ok(short) => text.push_str(short),
                Err(_) => text.push_str(&attribute.attr_type().to_id_string()),
            }
            text.push('=');
            match attribute.as_str() {
                Ok(value) => escape(value, &mut text),
                Err(_) => {
                    text.push('#');
                    attribute.as_slice().iter().for_each(|byte| text.push_str(&format!("{byte:02x}")));
                }
            }
        }
        text.push_str(", ");
    }
    text.truncate(text.len().saturating_sub(2));
    text
}

fn escape(value: &str, out: &mut String) {
    let last = value.len().saturating_sub(1);
    for (at, letter) in value.char_indices() {
        match letter {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => out.extend(['\\', letter]),
            ' ' if at == 0 || at == last => out.push_str("\\ "),
            '#' if at == 0 => out.push_str("\\#"),
            letter if letter.is_control() => {
                let mut bytes = [0; 4];
                letter.encode_utf8(&mut bytes).bytes().for_each(|byte| out.push_str(&format!("\\{byte:02x}")));
            }
            letter => out.push(letter),
        }
    }
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

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    #[test]
    fn no_name_of_a_subject_looks_like_several() {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "alice, O=Admins + x");
        params.distinguished_name.push(DnType::OrganizationName, " Shop \u{7f}");
        let certificate = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");

        let facts = facts(certificate.der()).expect("facts");

        assert_eq!(&*facts.subject, "CN=alice\\, O\\=Admins \\+ x, O=\\ Shop \\7f");
        assert_eq!(facts.cn, ["alice, O=Admins + x".into()]);
    }
}
