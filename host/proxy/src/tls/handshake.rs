//! A handshake, spoken by rustls; what comes after it is [`TlsStream`](super::stream::TlsStream)'s.

use std::io;

use bytes::{Buf as _, BytesMut};
use rustls::Error;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedConnectionCommon, UnbufferedStatus};

use super::keys::invalid;
use crate::net::{Buffered, eof};

/// Bytes that a peer's half of a handshake may have that isn't finished yet; rustls bounds a message to 64 KiB.
const MOST_PENDING: usize = 128 * 1024;

/// What the peer sent with the end of its handshake, decrypted already.
#[derive(Default)]
pub(super) struct Early {
    pub data: BytesMut,
    /// There is no more.
    pub ended: bool,
}

/// What is to be done before rustls is asked again.
enum Next {
    Ask,
    Send,
    Receive,
    Finish,
}

/// A step of rustls, as a client or a server.
pub(super) type Process<Data> =
    for<'c, 'i> fn(&'c mut UnbufferedConnectionCommon<Data>, &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Data>;

/// Leaves in `conn` what was received and isn't decrypted. The caller bounds the time; dropping the future ends it half-way.
pub(super) async fn shake<Data>(
    tls: &mut UnbufferedConnectionCommon<Data>,
    process: Process<Data>,
    conn: &mut Buffered,
) -> io::Result<Early> {
    let mut early = Early::default();
    let mut outgoing = Vec::new();
    loop {
        let UnbufferedStatus { discard, state } = process(tls, &mut conn.received);
        let next = match state {
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                encode(&mut data, &mut outgoing)?;
                Next::Ask
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Next::Send
            }
            Ok(ConnectionState::ReadTraffic(mut data)) => {
                while let Some(record) = data.next_record() {
                    early.data.extend_from_slice(record.map_err(invalid)?.payload);
                }
                Next::Ask
            }
            Ok(ConnectionState::PeerClosed) => {
                early.ended = true;
                Next::Ask
            }
            Ok(ConnectionState::WriteTraffic(_)) => Next::Finish,
            Ok(ConnectionState::BlockedHandshake) => Next::Receive,
            Ok(state) => return Err(invalid(Error::General(format!("{state:?} in a handshake")))),
            Err(error) => {
                // An alert tells the peer. rustls mustn't see again what it failed with.
                while tls.wants_write()
                    && let Ok(ConnectionState::EncodeTlsData(mut alert)) = process(tls, &mut []).state
                {
                    encode(&mut alert, &mut outgoing)?;
                }
                // The connection has failed anyway.
                let _ = conn.stream.write_all(&outgoing).await;
                return Err(invalid(error));
            }
        };
        conn.received.advance(discard);
        match next {
            Next::Ask => {}
            Next::Send => {
                conn.stream.write_all(&outgoing).await?;
                outgoing.clear();
            }
            Next::Finish if !tls.is_handshaking() => return Ok(early),
            // The peer's half isn't finished.
            Next::Finish | Next::Receive => {
                if conn.received.len() > MOST_PENDING {
                    return Err(invalid(Error::General("the handshake is too long".into())));
                }
                if conn.fill().await? == 0 {
                    return Err(eof());
                }
            }
        }
    }
}

fn encode<Data>(data: &mut EncodeTlsData<'_, Data>, outgoing: &mut Vec<u8>) -> io::Result<()> {
    let at = outgoing.len();
    let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) else { return Ok(()) };
    outgoing.resize(at + needed.required_size, 0);
    data.encode(&mut outgoing[at..]).map_err(io::Error::other)?;
    Ok(())
}
