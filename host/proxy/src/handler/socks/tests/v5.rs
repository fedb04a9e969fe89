use super::*;

fn socks5(auth: Option<(&str, &str)>, tls: Option<TlsClient>) -> connector::Connector {
    let auth = auth.map(|(user, password)| (user.to_owned(), password.to_owned()));
    connector::Connector::Socks5(connector::Socks5 { auth, tls, ..connector::Socks5::default() })
}

fn bare(status: u8) -> [u8; 10] {
    [5, status, 0, 1, 0, 0, 0, 0, 0, 0]
}

#[tokio::test]
async fn connections_by_address_and_by_name() {
    let proxy = Proxy::v5(HandlerParts::default(), Socks5Settings::default()).await;
    let origin = echo().await;
    let named = [&b"\x05\x01\0\x03\x09localhost"[..], &origin.port().to_be_bytes()].concat();
    for request in [message(b"\x05\x01\0", origin, b""), named] {
        let mut client = proxy.connect().await;
        client.write_all(b"\x05\x01\0").await.unwrap();
        assert_eq!(read::<2>(&mut client).await, [5, 0]);
        client.write_all(&request).await.unwrap();
        assert_eq!(read::<10>(&mut client).await, bare(0));
        assert_echoes(client).await;
    }
}

#[tokio::test]
async fn everything_may_come_at_once() {
    let (authenticator, asked) = authenticator();
    let parts = HandlerParts { authenticator: Some(authenticator), ..HandlerParts::default() };
    let (proxy, origin) = (Proxy::v5(parts, Socks5Settings::default()).await, echo().await);
    let request = message(b"\x05\x01\x02\x01\x04gost\x06secret\x05\x01\0", origin, b"early");
    let mut client = proxy.connect().await;
    client.write_all(&request).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, [b"\x05\x02\x01\0", &bare(0)[..], b"hello early"].concat());

    let asked = asked.lock().unwrap();
    assert_eq!(
        *asked,
        [AuthenticationRequest {
            username: "gost".to_owned(),
            password: "secret".to_owned(),
            client_address: Some(client_of(&client)),
            service: "service-0".to_owned(),
            certificate: None,
        }]
    );
}

#[tokio::test]
async fn the_method_is_gosts_choice() {
    for (with_auth, with_tls, offer, method) in [
        (false, false, &b"\0"[..], 0),
        (false, false, b"\x02", 0),
        (false, false, b"\0\x80", 0),
        (false, true, b"\0\x80", 0x80),
        (false, true, b"\0\x82", 0),
        (true, false, b"\0", 2),
        (true, false, b"\0\x02\x80\x82", 2),
        (true, true, b"\0\x02\x80\x82", 0x82),
        (true, true, b"\0\x02\x82", 2),
    ] {
        let authenticator = with_auth.then(|| authenticator().0);
        let settings = Socks5Settings { tls: with_tls.then(|| tls().0), ..Socks5Settings::default() };
        let proxy = Proxy::v5(HandlerParts { authenticator, ..HandlerParts::default() }, settings).await;
        let mut client = proxy.connect().await;
        let count = u8::try_from(offer.len()).unwrap();
        client.write_all(&[&[5, count], offer].concat()).await.unwrap();
        assert_eq!(read::<2>(&mut client).await, [5, method], "{with_auth} {with_tls} {offer:?}");
    }
}

#[tokio::test]
async fn refusals_to_the_byte() {
    let (bypass, judged) = bypass("blocked.example:");
    let proxy = Proxy::v5(HandlerParts { bypass: Some(bypass), ..HandlerParts::default() }, Socks5Settings::default());
    let (proxy, nobody) = (proxy.await, nobody().await);
    let blocked = b"\x05\x01\0\x03\x0fblocked.example\0\x50".to_vec();
    for (request, status) in [
        (message(b"\x05\x01\0", nobody, b""), 3),
        (blocked, 2),
        (b"\x05\x01\0\x03\x03a b\0\x50".to_vec(), 3),
        (message(b"\x05\x02\0", nobody, b""), 2),
        (message(b"\x05\x03\0", nobody, b""), 2),
        (message(b"\x05\xf2\0", nobody, b""), 2),
        (message(b"\x05\xf3\0", nobody, b""), 2),
        (b"\x05\xf3\0\x01\0\0\0\0\0\0".to_vec(), 2),
        (message(b"\x05\x09\0", nobody, b""), 7),
        (message(b"\x05\xf0\0", nobody, b""), 7),
    ] {
        let answer = proxy.ask(&[b"\x05\x01\0", request.as_slice()].concat()).await;
        assert_eq!(answer, [&[5, 0], &bare(status)[..]].concat(), "{request:?}");
    }
    let call = |address: String| BypassRequest {
        network: "tcp".to_owned(),
        target_address: address,
        host: None,
        path: None,
        client_id: None,
        service: Some("service-0".to_owned()),
    };
    assert_eq!(*judged.lock().unwrap(), [call(nobody.to_string()), call("blocked.example:80".to_owned())]);
    for (bytes, answer) in [
        (&b"\x04\x01\0"[..], &b""[..]),
        (b"\x05\0", b""),
        (b"\x05\x01\0\x04", b"\x05\0"),
        (b"\x05\x01\0\x05\x01\0\x02", b"\x05\0"),
    ] {
        assert_eq!(proxy.ask(bytes).await, answer, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_ends_it() {
    let ((authenticator, _), (bypass, judged)) = (authenticator(), bypass(""));
    let parts = HandlerParts { authenticator: Some(authenticator), bypass: Some(bypass), ..HandlerParts::default() };
    let proxy = Proxy::v5(parts, Socks5Settings::default()).await;
    let request = message(b"\x05\x01\0", nobody().await, b"");
    for (given, answer) in [
        (&b"\x01\x04gost\x05wrong"[..], &b"\x05\x02\x01\x01"[..]),
        (b"\x01\0\0", b"\x05\x02\x01\x01"),
        (b"\x01\x01\xff\x01\xff", b"\x05\x02\x01\x01"),
        (b"\x05\x04", b"\x05\x02"),
    ] {
        assert_eq!(proxy.ask(&[b"\x05\x01\x02", given, &request].concat()).await, answer, "{given:?}");
    }
    assert!(judged.lock().unwrap().is_empty(), "a bypass was asked for a client that was refused");
    let granted = proxy.ask(&[b"\x05\x01\x02\x01\x04gost\x06secret", request.as_slice()].concat()).await;
    assert_eq!(granted, [b"\x05\x02\x01\0", &bare(2)[..]].concat());
    assert_eq!(judged.lock().unwrap()[0].client_id.as_deref(), Some("id-gost"));
}

#[tokio::test]
async fn connectors_of_every_method() {
    let origin = echo().await;
    let (acceptor, connector) = tls();
    for with_auth in [false, true] {
        for with_tls in [false, true] {
            let authenticator = with_auth.then(|| authenticator().0);
            let settings = Socks5Settings { tls: with_tls.then(|| acceptor.clone()), ..Socks5Settings::default() };
            let proxy = Proxy::v5(HandlerParts { authenticator, ..HandlerParts::default() }, settings).await;
            let tls = with_tls.then(|| connector.clone());
            let auth = with_auth.then_some(("gost", "secret"));
            assert_echoes(proxy.through(&socks5(auth, tls.clone()), origin).await.unwrap()).await;
            if with_auth {
                for (auth, reason) in [
                    (Some(("gost", "wrong")), "refused: wrong user name or password"),
                    (None, "refused: a user name and a password are wanted"),
                ] {
                    let error = proxy.through(&socks5(auth, tls.clone()), origin).await.unwrap_err();
                    assert_eq!(error.to_string(), reason, "{with_tls}");
                }
            } else {
                let error = proxy.through(&socks5(auth, tls), nobody().await).await.unwrap_err();
                assert_eq!(error.to_string(), "refused: network unreachable");
            }
        }
    }
}

#[tokio::test]
async fn who_asks_for_nothing_is_not_waited_for() {
    let settings = Socks5Settings { read_timeout: Duration::from_millis(50), ..Socks5Settings::default() };
    let proxy = Proxy::v5(HandlerParts::default(), settings).await;
    assert_eq!(proxy.ask(b"").await, b"");
    assert_eq!(proxy.ask(b"\x05").await, b"");
    assert_eq!(proxy.ask(b"\x05\x01\0\x05").await, b"\x05\0");

    let proxy = Proxy::v5(HandlerParts::default(), Socks5Settings::default()).await;
    let mut waiting = proxy.connect().await;
    let mut asking = proxy.connect().await;
    asking.write_all(b"\x05\x01\0").await.unwrap();
    read::<2>(&mut asking).await;
    proxy.drain.cancel();
    assert_eq!(waiting.read(&mut [0]).await.unwrap(), 0);
    asking.write_all(&message(b"\x05\x01\0", echo().await, b"")).await.unwrap();
    assert_eq!(read::<10>(&mut asking).await, bare(0));
    assert_echoes(asking).await;
}
