//! [`Generated`]: a certificate that is made when it is needed.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::TlsError;

/// What a self-signed certificate says (GOST reference, config 6.9).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Generated {
    /// How long it is valid from now on.
    pub validity: Duration,
    /// Its common name, and the name it is for.
    pub common_name: String,
    /// Its organization.
    pub organization: String,
}

impl Generated {
    pub(super) fn make(&self) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), TlsError> {
        let unmade = |error: rcgen::Error| TlsError::Settings(format!("can't make a certificate: {error}"));
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, self.common_name.as_str());
        params.distinguished_name.push(DnType::OrganizationName, self.organization.as_str());
        // A common name that can't be a DNS name is only that.
        params.subject_alt_names.extend(self.common_name.as_str().try_into().map(SanType::DnsName));
        let now = SystemTime::now();
        params.not_before = now.into();
        params.not_after = now.checked_add(self.validity).unwrap_or(now).into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(unmade)?;
        let certificate = params.self_signed(&key).map_err(unmade)?;
        Ok((certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
    }
}
