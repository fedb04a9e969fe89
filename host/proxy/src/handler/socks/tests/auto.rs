use drawspan_wire::socks::v4::{GRANTED, reply};

use super::*;
use crate::handler::Auto;
use crate::handler::http::{Http, Settings};

#[tokio::test]
async fn the_first_byte_tells() {
    let parts = HandlerParts::default;
    let read_timeout = Duration::from_secs(15);
    let auto = Auto::new(
        Http::new(parts(), Settings::default()),
        Socks4::new(parts(), read_timeout),
        Socks5::new(parts(), Socks5Settings::default()),
        read_timeout,
    );
    let (proxy, origin) = (Proxy::start(Handler::Auto(Box::new(auto))).await, echo().await);
    let established = b"HTTP/1.1 200 Connection established\r\nProxy-Agent: gost/3.0\r\n\r\n";
    for (request, answer) in [
        (message(&[4, 1], origin, b"\0"), &reply(GRANTED)[..]),
        (message(b"\x05\x01\0\x05\x01\0", origin, b""), b"\x05\0\x05\0\0\x01\0\0\0\0\0\0"),
        (format!("CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\n\r\n").into_bytes(), established),
    ] {
        let mut client = proxy.connect().await;
        client.write_all(&request).await.unwrap();
        let mut given = vec![0; answer.len()];
        client.read_exact(&mut given).await.unwrap();
        assert_eq!(given, answer);
        assert_echoes(client).await;
    }
    let mut waiting = proxy.connect().await;
    proxy.drain.cancel();
    assert_eq!(waiting.read(&mut [0]).await.unwrap(), 0);
}
