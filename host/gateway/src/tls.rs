//! From the config's TLS settings to those of the data plane.

use drawspan_config::{At, CipherSuite, ClientTls, Diagnostic, ServerTls, TlsIdentity, TlsOptions, TlsVersion};
use drawspan_proxy::tls::{
    self, Certificate, ClientSettings, Generated, Identity, Options, ServerSettings, TlsClient, TlsError, TlsServer,
};

/// A server's TLS. `at` is where what can't be used is reported.
pub(crate) fn server<T>(tls: &ServerTls, at: &At<T>) -> Result<TlsServer, Diagnostic> {
    let settings = ServerSettings {
        certificate: match &tls.certificate {
            drawspan_config::Certificate::Files(files) => Certificate::Files(identity(files)),
            drawspan_config::Certificate::Generated(made) => Certificate::Generated(Generated {
                validity: made.validity,
                common_name: made.common_name.clone(),
                organization: made.organization.clone(),
            }),
        },
        client_ca: tls.client_ca.as_ref().map(|path| path.value.clone()),
        options: options(&tls.options),
    };
    TlsServer::new(&settings).map_err(|error| unusable(&error, at))
}

/// A client's TLS.
pub(crate) fn client(tls: &ClientTls) -> Result<TlsClient, TlsError> {
    TlsClient::new(&ClientSettings {
        identity: tls.identity.as_ref().map(identity),
        ca_file: tls.ca_file.as_ref().map(|path| path.value.clone()),
        secure: tls.secure,
        server_name: tls.server_name.clone(),
        options: options(&tls.options),
    })
}

fn unusable<T>(error: &TlsError, at: &At<T>) -> Diagnostic {
    Diagnostic::error(&at.place, format!("TLS can't be set up: {error}"))
}

fn identity(files: &TlsIdentity) -> Identity {
    Identity { cert_file: files.cert_file.value.clone(), key_file: files.key_file.value.clone() }
}

fn options(options: &TlsOptions) -> Options {
    Options {
        no_tls12: options.min_version == Some(TlsVersion::V1_3),
        no_tls13: options.max_version == Some(TlsVersion::V1_2),
        cipher_suites: options.cipher_suites.iter().map(suite).collect(),
        alpn: options.alpn.clone(),
    }
}

fn suite(suite: &CipherSuite) -> tls::CipherSuite {
    use tls::CipherSuite as To;
    match suite {
        CipherSuite::EcdheEcdsaAes128GcmSha256 => To::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdheEcdsaAes256GcmSha384 => To::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdheEcdsaChacha20Poly1305 => To::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        CipherSuite::EcdheRsaAes128GcmSha256 => To::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdheRsaAes256GcmSha384 => To::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdheRsaChacha20Poly1305 => To::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    }
}
