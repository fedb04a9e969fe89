//! [`TlsStream`] beside rustls's own streams, which are the peer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use drawspan_modules::Addr;
use drawspan_tls::AnyName;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::unbuffered::UnbufferedConnectionCommon;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, ContentType, Error, HandshakeKind, ServerConfig,
    SupportedCipherSuite,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::handshake::shake;
use super::keys::Session;
use super::stream::TlsStream;
use super::*;
use crate::net::{Buffer, Buffered, Stream};

const MANY: usize = 3 * Buffer::SIZE + 12_345;

fn both(suite: SupportedCipherSuite) -> (TlsClient, TlsServer) {
    let generated = Generated {
        validity: std::time::Duration::from_secs(3600),
        common_name: "test".to_owned(),
        organization: "test".to_owned(),
    };
    let (certificate, key) = generated.make().unwrap();
    let provider = Arc::new(CryptoProvider { cipher_suites: vec![suite], ..ring::default_provider() });
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let any = Arc::new(AnyName::new(None, Arc::clone(&provider)).unwrap());
    let mut client = client.unwrap().dangerous().with_custom_certificate_verifier(any).with_no_client_auth();
    client.enable_secret_extraction = true;
    let server = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut server = server.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    server.enable_secret_extraction = true;
    let name = ServerName::try_from("localhost").unwrap();
    (TlsClient { config: Arc::new(client), name }, TlsServer(Arc::new(server)))
}

/// All that a certificate with an ECDSA key can do: three of TLS 1.3, three of TLS 1.2.
fn suites() -> Vec<SupportedCipherSuite> {
    let rsa = |suite: &SupportedCipherSuite| format!("{:?}", suite.suite()).contains("ECDHE_RSA");
    let suites: Vec<_> = ring::ALL_CIPHER_SUITES.iter().copied().filter(|suite| !rsa(suite)).collect();
    assert_eq!(suites.len(), 6);
    suites
}

fn tls13() -> (TlsClient, TlsServer) {
    both(ring::cipher_suite::TLS13_AES_128_GCM_SHA256)
}

fn tls12() -> (TlsClient, TlsServer) {
    both(ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)
}

fn buffered(io: DuplexStream) -> Buffered {
    Buffered::new(Stream::layered(io, Addr::unnamed(), Addr::unnamed()))
}

/// Ours and the peer's, over a connection that takes `size` bytes.
async fn pair(
    (client, server): &(TlsClient, TlsServer),
    we_connect: bool,
    size: usize,
) -> (Stream, tokio_rustls::TlsStream<DuplexStream>) {
    let (near, far) = duplex(size);
    if we_connect {
        let acceptor = TlsAcceptor::from(Arc::clone(&server.0));
        let (ours, peers) = tokio::join!(client.connect(buffered(near)), acceptor.accept(far));
        (ours.unwrap(), peers.unwrap().into())
    } else {
        let connector = TlsConnector::from(Arc::clone(&client.config));
        let (ours, peers) = tokio::join!(server.accept(buffered(near)), connector.connect(client.name.clone(), far));
        (ours.unwrap().0, peers.unwrap().into())
    }
}

fn pattern(seed: usize) -> Vec<u8> {
    (0..MANY).map(|at| (at * 31 + at / 251 + seed) as u8).collect()
}

/// Sends everything and the end, and receives everything.
async fn exchange(stream: impl AsyncRead + AsyncWrite, send: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(stream);
    let mut got = Vec::new();
    let sending = async {
        write.write_all(send).await.unwrap();
        write.shutdown().await.unwrap();
    };
    tokio::join!(sending, async { read.read_to_end(&mut got).await.unwrap() });
    got
}

#[tokio::test]
async fn every_cipher_carries_much_both_ways() {
    for suite in suites() {
        for we_connect in [true, false] {
            let (ours, peers) = pair(&both(suite), we_connect, 64 * 1024).await;
            let (up, down) = (pattern(1), pattern(2));
            let (at_ours, at_peers) = tokio::join!(exchange(ours, &up), exchange(peers, &down));
            assert!(at_ours == down && at_peers == up, "{suite:?}, {we_connect}");
        }
    }
}

/// Gives and takes so many bytes at a time.
struct Pieces(DuplexStream, usize);

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let Self(io, size) = &mut *self;
        let mut piece = vec![0; buf.remaining().min(*size)];
        let mut piece = ReadBuf::new(&mut piece);
        ready!(Pin::new(io).poll_read(cx, &mut piece))?;
        buf.put_slice(piece.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let Self(io, size) = &mut *self;
        Pin::new(io).poll_write(cx, &buf[..buf.len().min(*size)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn records_may_come_in_pieces_of_any_size() {
    for size in 1..40 {
        for tls in [tls13(), tls12()] {
            let (near, far) = duplex(64 * 1024);
            let near = Buffered::new(Stream::layered(Pieces(near, size), Addr::unnamed(), Addr::unnamed()));
            let (client, server) = tokio::join!(tls.0.connect(near), tls.1.accept(buffered(far)));
            let (client, server) = (client.unwrap(), server.unwrap().0);
            let (answer, question) = tokio::join!(exchange(client, b"question"), exchange(server, b"answer"));
            assert_eq!((&*answer, &*question), (&b"answer"[..], &b"question"[..]), "{size}");
        }
    }
}

#[tokio::test]
async fn a_reader_may_take_as_little_as_it_likes() {
    let (mut ours, mut peers) = pair(&tls13(), true, 64 * 1024).await;
    peers.write_all(b"abc").await.unwrap();
    peers.write_all(b"def").await.unwrap();
    for expected in b"abcdef" {
        assert_eq!(ours.read_u8().await.unwrap(), *expected);
    }
}

#[tokio::test]
async fn an_end_is_an_end_only_if_it_is_said() {
    for tls in [tls13(), tls12()] {
        let (mut ours, mut peers) = pair(&tls, true, 64 * 1024).await;
        peers.write_all(b"bye").await.unwrap();
        peers.shutdown().await.unwrap();
        let mut got = Vec::new();
        ours.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"bye");
        // The other direction goes on.
        ours.write_all(b"still here").await.unwrap();
        ours.shutdown().await.unwrap();
        got.clear();
        peers.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"still here");

        let (mut ours, mut peers) = pair(&tls, true, 64 * 1024).await;
        peers.write_all(b"cut").await.unwrap();
        drop(peers);
        let mut got = Vec::new();
        assert_eq!(ours.read_to_end(&mut got).await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
        assert_eq!(got, b"cut");
    }
}

#[tokio::test]
async fn what_a_slow_peer_is_sent_is_bounded() {
    let (mut ours, mut peers) = pair(&tls13(), true, 1024).await;
    let sent = pattern(3);
    // Taken: what is encrypted at once, and no more until that is sent.
    assert_eq!(ours.write(&sent).await.unwrap(), Buffer::SIZE);
    let more = tokio::time::timeout(std::time::Duration::from_millis(20), ours.write(&sent[Buffer::SIZE..])).await;
    assert!(more.is_err(), "{more:?}");
    let mut got = vec![0; Buffer::SIZE];
    let (outcome, flushed) = tokio::join!(peers.read_exact(&mut got), ours.flush());
    outcome.unwrap();
    flushed.unwrap();
    assert!(got == sent[..Buffer::SIZE]);
}

/// A client of rustls, moved by hand.
struct ByHand {
    tls: ClientConnection,
    io: DuplexStream,
}

impl ByHand {
    async fn with_server(tls: &(TlsClient, TlsServer)) -> (Stream, Self) {
        Self::last_flight(tls, async |hand, flight| hand.io.write_all(&flight).await.unwrap()).await
    }

    /// With a server of ours; the last flight of its handshake goes to `then`.
    async fn last_flight(
        (client, server): &(TlsClient, TlsServer),
        then: impl AsyncFnOnce(&mut Self, Vec<u8>),
    ) -> (Stream, Self) {
        let (near, io) = duplex(1024 * 1024);
        let tls = ClientConnection::new(Arc::clone(&client.config), client.name.clone()).unwrap();
        let mut hand = Self { tls, io };
        let shaking = async {
            loop {
                let flight = hand.flight();
                if !hand.tls.is_handshaking() {
                    return then(&mut hand, flight).await;
                }
                hand.io.write_all(&flight).await.unwrap();
                if hand.tls.wants_read() {
                    hand.receive().await.unwrap();
                }
            }
        };
        let (ours, ()) = tokio::join!(server.accept(buffered(near)), shaking);
        (ours.unwrap().0, hand)
    }

    /// What it wants to send.
    fn flight(&mut self) -> Vec<u8> {
        let mut flight = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut flight).unwrap();
        }
        flight
    }

    async fn receive(&mut self) -> Result<(), Error> {
        let mut bytes = BytesMut::new();
        self.io.read_buf(&mut bytes).await.unwrap();
        let mut bytes = &bytes[..];
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes).unwrap();
            self.tls.process_new_packets()?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn data_may_come_with_the_end_of_the_handshake() {
    use std::io::Write as _;
    for cut in [0, 1, 7, 40] {
        let (mut stream, _hand) = ByHand::last_flight(&tls13(), async |hand, mut flight| {
            hand.tls.writer().write_all(b"early").unwrap();
            hand.tls.send_close_notify();
            flight.extend(hand.flight());
            let (first, second) = flight.split_at(flight.len() - cut);
            hand.io.write_all(first).await.unwrap();
            tokio::task::yield_now().await;
            hand.io.write_all(second).await.unwrap();
        })
        .await;
        let mut got = Vec::new();
        stream.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"early", "{cut}");
    }
}

#[tokio::test]
async fn a_changed_record_is_refused_and_the_peer_told() {
    use std::io::Write as _;
    for tls in [tls13(), tls12()] {
        let (mut stream, mut hand) = ByHand::with_server(&tls).await;
        let mut record = |data: &[u8]| {
            hand.tls.writer().write_all(data).unwrap();
            hand.flight()
        };
        let (good, mut changed, never) = (record(b"good"), record(b"changed"), record(b"never"));
        *changed.last_mut().unwrap() ^= 1;
        hand.io.write_all(&[good, changed, never].concat()).await.unwrap();
        let mut got = Vec::new();
        let error = stream.read_to_end(&mut got).await.unwrap_err();
        assert_eq!(got, b"good");
        assert_eq!(error.to_string(), Error::DecryptError.to_string());
        assert_eq!(stream.read_u8().await.unwrap_err().to_string(), Error::DecryptError.to_string());
        let told = loop {
            if let Err(error) = hand.receive().await {
                break error;
            }
        };
        assert_eq!(told, Error::AlertReceived(AlertDescription::BadRecordMac));
    }
}

/// Ours on both sides; the client's can send whatever it likes.
async fn rogue(tls: &(TlsClient, TlsServer)) -> (TlsStream, Stream) {
    let (near, far) = duplex(1024 * 1024);
    let mut conn = buffered(near);
    let connecting = async {
        let mut tls = UnbufferedClientConnection::new(Arc::clone(&tls.0.config), tls.0.name.clone()).unwrap();
        let step = UnbufferedConnectionCommon::<ClientConnectionData>::process_tls_records;
        let early = shake(&mut tls, step, &mut conn).await.unwrap();
        let (secrets, session) = tls.dangerous_into_kernel_connection().unwrap();
        TlsStream::new(conn, Session::Client(session), secrets, early).unwrap()
    };
    let (rogue, ours) = tokio::join!(connecting, tls.1.accept(buffered(far)));
    (rogue, ours.unwrap().0)
}

/// Records, and what the error says.
type Case<'a> = (&'a [(ContentType, &'a [u8])], &'a str);

#[tokio::test]
async fn records_that_have_no_place_are_refused() {
    const KEY_UPDATE: &[u8] = &[24, 0, 0, 1, 0];
    let idle = [(ContentType::ApplicationData, &b""[..]); 33];
    let tls13_cases: &[Case<'_>] = &[
        (&[(ContentType::ChangeCipherSpec, &[1])], "ChangeCipherSpec"),
        (&[(ContentType::Alert, &[2])], "alert"),
        (&[(ContentType::Alert, &[2, 40])], "HandshakeFailure"),
        (&[(ContentType::Handshake, &[1, 0, 0, 0])], "Handshake"),
        // Tickets are a server's.
        (&[(ContentType::Handshake, &[4, 0, 0, 0])], "Handshake"),
        (&[(ContentType::Handshake, &[24, 0, 0, 1, 2])], "InvalidKeyUpdate"),
        (&[(ContentType::Handshake, &[24, 0, 0, 0])], "InvalidKeyUpdate"),
        (&[(ContentType::Handshake, &[24, 0, 0, 1, 0, 24])], "KeyEpochWithPendingFragment"),
        (&[(ContentType::Handshake, &[24, 255, 0, 0])], "HandshakePayloadTooLarge"),
        (&[(ContentType::Handshake, &[24]), (ContentType::ApplicationData, b"x")], "MessageInterleaved"),
        (&idle, "TooMany"),
    ];
    let tls12_cases: &[Case<'_>] = &[
        (&[(ContentType::Handshake, &[0, 0, 0, 0])], "Handshake"),
        (&[(ContentType::Handshake, KEY_UPDATE)], "Handshake"),
        (&[(ContentType::Alert, &[2, 40])], "HandshakeFailure"),
        (&idle, "TooMany"),
    ];
    for (tls, cases) in [(tls13(), tls13_cases), (tls12(), tls12_cases)] {
        for (records, expected) in cases {
            let (mut rogue, mut ours) = rogue(&tls).await;
            for (typ, data) in *records {
                rogue.seal(*typ, data).unwrap();
            }
            rogue.flush().await.unwrap();
            let error = ours.read_u8().await.unwrap_err().to_string();
            assert!(error.contains(expected), "{records:?}: {error}");
        }
    }
}

#[tokio::test]
async fn records_that_mean_nothing_are_passed_over() {
    let (mut rogue, mut ours) = rogue(&tls13()).await;
    for _ in 0..3 {
        for _ in 0..32 {
            rogue.seal(ContentType::ApplicationData, b"").unwrap();
        }
        rogue.seal(ContentType::ApplicationData, b"x").unwrap();
    }
    rogue.seal(ContentType::Alert, &[1, 90]).unwrap();
    rogue.shutdown().await.unwrap();
    let mut got = Vec::new();
    ours.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"xxx");

    // A warning of TLS 1.2.
    let (mut rogue, mut ours) = self::rogue(&tls12()).await;
    rogue.seal(ContentType::Alert, &[1, 100]).unwrap();
    rogue.write_all(b"y").await.unwrap();
    assert_eq!(ours.read_u8().await.unwrap(), b'y');
}

#[tokio::test]
async fn a_record_that_is_too_long_is_refused() {
    let (mut stream, mut hand) = ByHand::with_server(&tls13()).await;
    hand.io.write_all(&[23, 3, 3, 0x48, 0x01]).await.unwrap();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.to_string(), Error::PeerSentOversizedRecord.to_string());
}

#[tokio::test]
async fn a_peer_may_change_its_keys_and_ask_for_ours() {
    for we_connect in [true, false] {
        let (mut ours, mut peers) = pair(&tls13(), we_connect, 64 * 1024).await;
        let mut word = [0; 4];
        for _ in 0..40 {
            // rustls asks for ours.
            match &mut peers {
                tokio_rustls::TlsStream::Client(stream) => stream.get_mut().1.refresh_traffic_keys().unwrap(),
                tokio_rustls::TlsStream::Server(stream) => stream.get_mut().1.refresh_traffic_keys().unwrap(),
            }
            peers.write_all(b"ping").await.unwrap();
            peers.flush().await.unwrap();
            ours.read_exact(&mut word).await.unwrap();
            assert_eq!(&word, b"ping");
            ours.write_all(b"pong").await.unwrap();
            ours.flush().await.unwrap();
            peers.read_exact(&mut word).await.unwrap();
            assert_eq!(&word, b"pong");
        }
    }
}

#[tokio::test]
async fn a_message_may_be_cut_into_records() {
    let (mut rogue, mut ours) = rogue(&tls13()).await;
    let next = rogue.session().next_sealer().unwrap();
    rogue.seal(ContentType::Handshake, &[24, 0]).unwrap();
    rogue.seal(ContentType::Handshake, &[0, 1, 1]).unwrap();
    *rogue.sealer() = next;
    rogue.write_all(b"x").await.unwrap();
    assert_eq!(ours.read_u8().await.unwrap(), b'x');
    // And ours have changed.
    ours.write_all(b"y").await.unwrap();
    assert_eq!(rogue.read_u8().await.unwrap(), b'y');
}

#[tokio::test]
async fn keys_are_changed_before_they_are_used_up() {
    let (mut rogue, ours) = rogue(&tls13()).await;
    rogue.sealer().use_up_after(2);
    let sent = pattern(4);
    let (_, got) = tokio::join!(
        async {
            rogue.write_all(&sent).await.unwrap();
            // With the next keys the limit is the cipher's.
            assert!(!rogue.sealer().used_up());
            rogue.shutdown().await.unwrap();
        },
        exchange(ours, b"")
    );
    assert!(got == sent);

    let (mut rogue, _ours) = self::rogue(&tls12()).await;
    rogue.sealer().use_up_after(1);
    rogue.write_all(b"once").await.unwrap();
    rogue.flush().await.unwrap();
    assert_eq!(rogue.write_all(b"twice").await.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_client_comes_back_with_its_ticket() {
    let tls = tls13();
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let (mut ours, mut peers) = pair(&tls, true, 64 * 1024).await;
        let tokio_rustls::TlsStream::Server(server) = &peers else { unreachable!("we connect") };
        assert_eq!(server.get_ref().1.handshake_kind(), Some(kind));
        // The tickets come before it.
        peers.write_all(b"x").await.unwrap();
        peers.flush().await.unwrap();
        assert_eq!(ours.read_u8().await.unwrap(), b'x');
    }
}

#[tokio::test]
async fn a_failed_handshake_is_explained_to_the_peer() {
    // A server that has nothing in common with the client.
    let ((client, _), (_, server)) = (tls13(), tls12());
    let (near, far) = duplex(64 * 1024);
    let connector = TlsConnector::from(Arc::clone(&client.config));
    let (ours, peers) = tokio::join!(server.accept(buffered(near)), connector.connect(client.name.clone(), far));
    assert!(ours.is_err());
    let error = peers.unwrap_err().to_string();
    assert!(error.contains("received fatal alert"), "{error}");

    // A client that expects another certificate.
    let authority = drawspan_testkit::Authority::new();
    let provider = Arc::new(ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(authority.pem().as_bytes()).flatten());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let strict = TlsClient { config, name: client.name.clone() };
    let (near, far) = duplex(64 * 1024);
    let acceptor = TlsAcceptor::from(Arc::clone(&server.0));
    let (ours, peers) = tokio::join!(strict.connect(buffered(near)), acceptor.accept(far));
    let error = ours.unwrap_err().to_string();
    assert!(error.contains("invalid peer certificate"), "{error}");
    let error = peers.unwrap_err().to_string();
    assert!(error.contains("received fatal alert"), "{error}");

    let (near, mut far) = duplex(64 * 1024);
    let speaking = async {
        far.write_all(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").await.unwrap();
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        got
    };
    let accepting = async { server.accept(buffered(near)).await.map(|_| ()) };
    let (ours, got) = tokio::join!(accepting, speaking);
    assert_eq!(ours.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
    assert_eq!(got[0], u8::from(ContentType::Alert), "{got:?}");

    let (near, far) = duplex(64 * 1024);
    drop(far);
    let gone = server.accept(buffered(near)).await.map(|_| ());
    assert!(gone.is_err());
}

#[tokio::test]
async fn a_connection_that_waits_holds_no_buffer() {
    let (mut rogue, mut ours) = rogue(&tls13()).await;
    ours.write_all(b"x").await.unwrap();
    ours.flush().await.unwrap();
    assert_eq!(rogue.read_u8().await.unwrap(), b'x');
    assert!(!rogue.holds_buffer());
}

#[test]
fn the_quickest_ciphers_come_first() {
    let suites = |of: &Options| of.provider().cipher_suites.iter().map(|it| it.suite()).collect::<Vec<_>>();
    let all = suites(&Options::default());
    assert!(FIRST.iter().all(|suite| all[..3].contains(suite)), "{all:?}");
    assert_eq!(all.len(), ring::default_provider().cipher_suites.len());
    let chosen = vec![CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384];
    let some = suites(&Options { cipher_suites: chosen.clone(), ..Options::default() });
    assert_eq!(some[0], FIRST[0]);
    assert_eq!(some[3..], chosen);
}
