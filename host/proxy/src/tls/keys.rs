//! The keys of a connection: [`Opener`] and [`Sealer`] decrypt and encrypt records by them, [`Session`] makes the next ones.

use std::io;

use rustls::client::ClientConnectionData;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks,
    OutboundPlainMessage,
};
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{ConnectionTrafficSecrets, ContentType, Error, ExtractedSecrets, ProtocolVersion, SupportedCipherSuite};

/// Bytes of a record's header: type, version, length.
pub(super) const HEADER: usize = 5;
/// Bytes that a record may carry (RFC 8446 §5.1).
pub(super) const MOST_DATA: usize = 16 * 1024;
/// Bytes that may follow a header: what is encrypted may be larger by so many, in TLS 1.2 (RFC 5246 §6.2.3).
const MOST_BODY: usize = MOST_DATA + 2048;

/// What rustls keeps of a connection whose records are not its own.
pub(super) enum Session {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

/// Decrypts what the peer sends.
pub(super) struct Opener {
    decrypter: Box<dyn MessageDecrypter>,
    /// Of the next record.
    number: u64,
}

/// Encrypts what is sent.
pub(super) struct Sealer {
    encrypter: Box<dyn MessageEncrypter>,
    /// Of the next record.
    number: u64,
    /// From this record on the keys aren't safe (RFC 8446 §5.5).
    limit: u64,
}

impl Session {
    /// Both directions' keys at the end of a handshake.
    pub(super) fn keys(&self, secrets: ExtractedSecrets) -> Result<(Opener, Sealer), Error> {
        let suite = self.suite();
        Ok((Opener::new(suite, secrets.rx)?, Sealer::new(suite, secrets.tx)?))
    }

    /// What the peer sends next is encrypted by another key.
    pub(super) fn next_opener(&mut self) -> Result<Opener, Error> {
        let secret = match self {
            Self::Client(session) => session.update_rx_secret(),
            Self::Server(session) => session.update_rx_secret(),
        };
        Opener::new(self.suite(), secret?)
    }

    /// What is sent after the next record is encrypted by another key. Impossible in TLS 1.2.
    pub(super) fn next_sealer(&mut self) -> Result<Sealer, Error> {
        let secret = match self {
            Self::Client(session) => session.update_tx_secret(),
            Self::Server(session) => session.update_tx_secret(),
        };
        Sealer::new(self.suite(), secret?)
    }

    /// A ticket with which a client may come back.
    pub(super) fn ticket(&mut self, ticket: &[u8]) -> Result<(), Error> {
        match self {
            Self::Client(session) => session.handle_new_session_ticket(ticket),
            Self::Server(_) => Err(unexpected(ContentType::Handshake)),
        }
    }

    pub(super) fn is_tls13(&self) -> bool {
        matches!(self.suite(), SupportedCipherSuite::Tls13(_))
    }

    fn suite(&self) -> SupportedCipherSuite {
        match self {
            Self::Client(session) => session.negotiated_cipher_suite(),
            Self::Server(session) => session.negotiated_cipher_suite(),
        }
    }
}

impl Opener {
    fn new(suite: SupportedCipherSuite, (number, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Self, Error> {
        let (key, iv) = parts(secrets)?;
        let decrypter = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.decrypter(key, iv),
            SupportedCipherSuite::Tls12(suite) => {
                let fixed = suite.aead_alg.key_block_shape().fixed_iv_len;
                suite.aead_alg.decrypter(key, &iv.as_ref()[..fixed])
            }
        };
        Ok(Self { decrypter, number })
    }

    /// Bytes of the record that `bytes` begin with, its header included; `None` if they end before it.
    pub(super) fn record_length(bytes: &[u8]) -> Result<Option<usize>, Error> {
        let [_, _, _, high, low, ..] = *bytes else { return Ok(None) };
        let body = usize::from(u16::from_be_bytes([high, low]));
        if body > MOST_BODY {
            return Err(Error::PeerSentOversizedRecord);
        }
        Ok(Some(HEADER + body).filter(|length| *length <= bytes.len()))
    }

    /// Decrypts a whole record where it is.
    pub(super) fn open<'a>(&mut self, record: &'a mut [u8]) -> Result<InboundPlainMessage<'a>, Error> {
        let (header, body) = record.split_at_mut(HEADER);
        let version = ProtocolVersion::from(u16::from_be_bytes([header[1], header[2]]));
        let message = InboundOpaqueMessage::new(ContentType::from(header[0]), version, body);
        let message = self.decrypter.decrypt(message, self.number)?;
        self.number += 1;
        Ok(message)
    }
}

impl Sealer {
    fn new(suite: SupportedCipherSuite, (number, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Self, Error> {
        let (key, iv) = parts(secrets)?;
        let (encrypter, limit) = match suite {
            SupportedCipherSuite::Tls13(suite) => {
                (suite.aead_alg.encrypter(key, iv), suite.common.confidentiality_limit)
            }
            SupportedCipherSuite::Tls12(suite) => {
                let (fixed, explicit) = iv.as_ref().split_at(suite.aead_alg.key_block_shape().fixed_iv_len);
                (suite.aead_alg.encrypter(key, fixed, explicit), suite.common.confidentiality_limit)
            }
        };
        Ok(Self { encrypter, number, limit })
    }

    /// Whether the keys have to be replaced before more is encrypted.
    pub(super) fn used_up(&self) -> bool {
        self.number >= self.limit
    }

    /// A record that carries `payload`.
    pub(super) fn seal(&mut self, typ: ContentType, payload: OutboundChunks<'_>) -> Result<Vec<u8>, Error> {
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        let record = self.encrypter.encrypt(message, self.number)?;
        self.number += 1;
        Ok(record.encode())
    }

    #[cfg(test)]
    pub(super) fn use_up_after(&mut self, records: u64) {
        self.limit = self.number + records;
    }
}

/// As the key schedules have them: for TLS 1.2 the fixed and the explicit part are one.
fn parts(secrets: ConnectionTrafficSecrets) -> Result<(AeadKey, Iv), Error> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok((key, iv)),
        _ => Err(Error::General("a cipher whose keys are unknown here".into())),
    }
}

/// A message that has no place after a handshake.
pub(super) fn unexpected(typ: ContentType) -> Error {
    Error::InappropriateMessage { expect_types: vec![ContentType::ApplicationData], got_type: typ }
}

/// As a stream fails with it.
pub(super) fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
