//! A TLS connection that somebody on the way changes, cuts or adds to: either side gets what the other sent, or a beginning of it
//! and then an error, and nothing waits for ever.
//!
//! The first byte chooses version, direction and what is done, the next two where in the stream, the fourth is the change and the
//! size of pieces; the rest is what is added.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use drawspan_modules::Addr;
use drawspan_proxy::net::{Buffered, Stream};
use drawspan_proxy::tls::{Certificate, ClientSettings, Generated, Options, ServerSettings, TlsClient, TlsServer};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::runtime::Builder;
use tokio::time::timeout;

static PEERS: LazyLock<[(TlsClient, TlsServer); 2]> = LazyLock::new(|| {
    [true, false].map(|no_tls13| {
        let options = Options { no_tls13, ..Options::default() };
        let generated = Generated {
            validity: Duration::from_secs(86_400),
            common_name: "test".to_owned(),
            organization: "test".to_owned(),
        };
        let certificate = Certificate::Generated(generated);
        let server = ServerSettings { certificate, client_ca: None, options: options.clone() };
        let client = ClientSettings { options, ..ClientSettings::default() };
        (TlsClient::new(&client).unwrap(), TlsServer::new(&server).unwrap())
    })
});

const HANDSHAKE: Duration = Duration::from_secs(10);

/// What is done to the bytes of one direction.
#[derive(Clone, Copy)]
enum Harm<'a> {
    None,
    Change(u8),
    Add(&'a [u8]),
    Cut,
}

fuzz_target!(|bytes: &[u8]| {
    let [choice, high, low, change, added @ ..] = bytes else { return };
    let harm = match choice / 4 % 3 {
        0 if *change > 0 => Harm::Change(*change),
        1 if !added.is_empty() => Harm::Add(added),
        2 => Harm::Cut,
        _ => Harm::None,
    };
    let at = usize::from(u16::from_be_bytes([*high, *low]));
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let exchange = exchange(&PEERS[usize::from(choice % 2)], choice / 2 % 2 == 0, at, harm, usize::from(*change) + 1);
    runtime.block_on(async { timeout(Duration::from_secs(3600), exchange).await.expect("it waits for ever") });
});

async fn exchange((client, server): &(TlsClient, TlsServer), up: bool, at: usize, harm: Harm<'_>, size: usize) {
    let up_data: Vec<u8> = (0..20_000_u32).map(|at| (at % 251) as u8).collect();
    let down_data: Vec<u8> = up_data.iter().rev().copied().collect();
    let ((client_end, near), (far, server_end)) = (duplex(64 << 10), duplex(64 << 10));
    let ((from_client, to_client), (from_server, to_server)) = (split(near), split(far));
    let (up_harm, down_harm) = if up { (harm, Harm::None) } else { (Harm::None, harm) };
    // Who is told to wait for more than comes needs the caller's patience, as in a gateway.
    let connected = async { timeout(HANDSHAKE, client.connect(buffered(client_end))).await.ok()?.ok() };
    let accepted = async { Some(timeout(HANDSHAKE, server.accept(buffered(server_end))).await.ok()?.ok()?.0) };
    let (up, down, at_client, at_server) = tokio::join!(
        pass(from_client, to_server, at, up_harm, size),
        pass(from_server, to_client, at, down_harm, size),
        async { talk(connected.await, &up_data).await },
        async { talk(accepted.await, &down_data).await },
    );
    let (got_down, client_is_well) = at_client;
    let (got_up, server_is_well) = at_server;
    assert!(down_data.starts_with(&got_down) && up_data.starts_with(&got_up), "what came wasn't sent");
    assert!(!server_is_well || got_up == up_data, "a part was taken for all");
    assert!(!client_is_well || got_down == down_data, "a part was taken for all");
    if !up && !down {
        assert!(client_is_well && server_is_well, "it fails by itself");
    }
}

fn buffered(io: DuplexStream) -> Buffered {
    Buffered::new(Stream::layered(io, Addr::unnamed(), Addr::unnamed()))
}

/// Sends `data` and the end; what came, and whether its end did.
async fn talk(stream: Option<Stream>, data: &[u8]) -> (Vec<u8>, bool) {
    let mut got = Vec::new();
    let Some(stream) = stream else { return (got, false) };
    let (mut reader, mut writer) = split(stream);
    let sending = async {
        let _ = writer.write_all(data).await;
        let _ = writer.shutdown().await;
    };
    let ((), outcome) = tokio::join!(sending, reader.read_to_end(&mut got));
    (got, outcome.is_ok())
}

/// Passes bytes on in pieces; whether harm was done.
async fn pass(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    at: usize,
    harm: Harm<'_>,
    size: usize,
) -> bool {
    let (mut passed, mut done) = (0, false);
    let mut piece = vec![0; size * 64];
    loop {
        let length = match from.read(&mut piece).await {
            Ok(length) if length > 0 => length,
            _ => break,
        };
        let mut bytes = piece[..length].to_vec();
        if (passed..passed + length).contains(&at) {
            let place = at - passed;
            done = !matches!(harm, Harm::None);
            match harm {
                Harm::None => {}
                Harm::Change(change) => bytes[place] ^= change,
                Harm::Add(added) => drop(bytes.splice(place..place, added.iter().copied())),
                Harm::Cut => bytes.truncate(place),
            }
        }
        passed += length;
        if to.write_all(&bytes).await.is_err() || done && matches!(harm, Harm::Cut) {
            break;
        }
    }
    let _ = to.shutdown().await;
    done
}
