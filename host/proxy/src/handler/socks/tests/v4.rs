use drawspan_wire::socks::v4::{BAD_USER_ID, FORBIDDEN, GRANTED, REJECTED, reply};

use super::*;

fn socks4(user: Option<&str>, disable_4a: bool) -> connector::Connector {
    connector::Connector::Socks4(connector::Socks4 { user: user.map(str::to_owned), disable_4a, timeout: None })
}

#[tokio::test]
async fn connections_by_address_and_by_name() {
    let (proxy, origin) = (Proxy::v4(HandlerParts::default()).await, echo().await);
    let named = [&[4, 1][..], &origin.port().to_be_bytes(), b"\0\0\0\x01user\0localhost\0"].concat();
    for request in [message(&[4, 1], origin, b"\0"), named] {
        let mut client = proxy.connect().await;
        client.write_all(&request).await.unwrap();
        assert_eq!(read::<8>(&mut client).await, reply(GRANTED));
        assert_echoes(client).await;
    }
    for connector in [socks4(None, false), socks4(Some("user"), true)] {
        assert_echoes(proxy.through(&connector, origin).await.unwrap()).await;
    }
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte_and_with_payload_behind() {
    let (proxy, origin) = (Proxy::v4(HandlerParts::default()).await, echo().await);
    let mut client = proxy.connect().await;
    client.set_nodelay(true).unwrap();
    for byte in message(&[4, 1], origin, b"me\0early") {
        client.write_all(&[byte]).await.unwrap();
    }
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, [&reply(GRANTED)[..], b"hello early"].concat());
}

#[tokio::test]
async fn refusals_to_the_byte() {
    let ((authenticator, asked), (bypass, judged)) = (authenticator(), bypass("127.0.0.9"));
    let parts = HandlerParts { authenticator: Some(authenticator), bypass: Some(bypass), ..HandlerParts::default() };
    let (proxy, nobody) = (Proxy::v4(parts).await, nobody().await);
    let bypassed = "127.0.0.9:80".parse().unwrap();
    for (request, answer) in [
        (message(&[4, 1], nobody, b"plain\0"), &reply(REJECTED)[..]),
        (message(&[4, 1], nobody, b"gost\0"), &reply(BAD_USER_ID)),
        (message(&[4, 1], nobody, b"\0"), &reply(BAD_USER_ID)),
        (message(&[4, 1], nobody, b"\xff\0"), &reply(BAD_USER_ID)),
        (message(&[4, 1], bypassed, b"plain\0"), &reply(FORBIDDEN)),
        (message(&[4, 1], "0.0.0.1:80".parse().unwrap(), b"plain\0a b\0"), &reply(REJECTED)),
        (message(&[4, 2], nobody, b"plain\0"), b""),
        (message(&[4, 9], nobody, b"plain\0"), b""),
        (b"\x05\x01\x00".to_vec(), b""),
    ] {
        assert_eq!(proxy.ask(&request).await, answer, "{request:?}");
    }
    let credentials: Vec<_> =
        asked.lock().unwrap().iter().map(|call| (call.username.clone(), call.password.clone())).collect();
    let user = |name: &str| (name.to_owned(), String::new());
    assert_eq!(
        credentials,
        [user("plain"), user("gost"), user(""), user("plain"), user("plain"), user("plain"), user("plain")]
    );
    let targets: Vec<_> = judged.lock().unwrap().iter().map(|call| call.target_address.clone()).collect();
    assert_eq!(targets, [nobody.to_string(), bypassed.to_string()]);
}

#[tokio::test]
async fn a_refused_connector_says_why() {
    let parts = HandlerParts { authenticator: Some(authenticator().0), ..HandlerParts::default() };
    let (proxy, nobody) = (Proxy::v4(parts).await, nobody().await);
    for (user, reason) in [("nobody", "refused: bad user id"), ("plain", "refused: code 91")] {
        let error = proxy.through(&socks4(Some(user), false), nobody).await.unwrap_err();
        assert_eq!(error.to_string(), reason);
    }
    let error = proxy.through(&socks4(Some("a\0b"), false), nobody).await.unwrap_err();
    assert!(matches!(error, connector::ConnectError::Request(_)), "{error}");
}
