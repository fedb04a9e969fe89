//! What a client's certificate says.

use drawspan_modules::ClientCertificate;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// In an authenticator's terms (GOST reference, modules 2.1): the last common name, as in Go, and names of the kinds DNS,
/// e-mail, URI in this order. `der` has been verified; what can't be read of it all the same is left empty.
pub(super) fn describe(der: &[u8]) -> ClientCertificate {
    let fingerprint = Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect();
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return ClientCertificate { common_name: String::new(), alternative_names: Vec::new(), fingerprint };
    };
    let common_name = certificate.subject().iter_common_name().last().and_then(|name| name.as_str().ok());
    let common_name = common_name.unwrap_or_default().to_owned();
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let kinds: [fn(&GeneralName<'_>) -> Option<String>; 3] = [
        |name| if let GeneralName::DNSName(name) = name { Some((*name).to_owned()) } else { None },
        |name| if let GeneralName::RFC822Name(name) = name { Some((*name).to_owned()) } else { None },
        |name| if let GeneralName::URI(name) = name { Some((*name).to_owned()) } else { None },
    ];
    let alternative_names = kinds.iter().flat_map(|kind| names.iter().filter_map(kind)).collect();
    ClientCertificate { common_name, alternative_names, fingerprint }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn names_are_ordered_by_kind() {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "alice");
        params.subject_alt_names = vec![
            SanType::URI("spiffe://a/b".try_into().unwrap()),
            SanType::IpAddress("192.0.2.1".parse().unwrap()),
            SanType::Rfc822Name("a@example.com".try_into().unwrap()),
            SanType::DnsName("b.example.com".try_into().unwrap()),
            SanType::DnsName("a.example.com".try_into().unwrap()),
        ];
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let said = describe(certificate.der());
        assert_eq!(said.common_name, "alice");
        assert_eq!(said.alternative_names, ["b.example.com", "a.example.com", "a@example.com", "spiffe://a/b"]);
        assert_eq!(said.fingerprint.len(), 64);
        let nonsense = describe(b"nonsense");
        assert!(nonsense.common_name.is_empty() && nonsense.fingerprint.len() == 64);
    }
}
