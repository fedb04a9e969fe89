//! Ending in order: what is under way is finished, what is idle is closed.

use drawspan_testkit::{Dir, Finished, Gateway, Signal, connect, http_origin, open_keep_alive, tcp_echo};

async fn start() -> Gateway {
    Gateway::start_with(Dir::new(), &["-L", "http://127.0.0.1:0"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_in_use_is_not_cut() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut gateway = start().await;
        let proxy = gateway.proxy().await;
        let echo = tcp_echo().await;
        let mut tunnel = connect(proxy, "", echo.addr()).await.unwrap();
        tunnel.echo(b"before").await;

        gateway.signal(signal);
        Gateway::refuses(proxy).await;
        let bytes: Vec<u8> = (0..1 << 20).map(|i: u32| i.to_le_bytes()[0]).collect();
        for chunk in bytes.chunks(16 << 10) {
            tunnel.echo(chunk).await;
        }
        tunnel.finish_sending().await;
        assert_eq!(tunnel.read_to_end().await, b"");

        assert_ended_in_order(&gateway.finish().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed() {
    let mut gateway = start().await;
    let proxy = gateway.proxy().await;
    let origin = http_origin().await;
    let mut idle = open_keep_alive(proxy, origin.addr()).await;

    gateway.signal(Signal::TERM);
    assert_eq!(idle.read_to_end().await, b"");
    assert_ended_in_order(&gateway.finish().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_spoke_does_not_hold_up_the_end() {
    let mut gateway = start().await;
    let proxy = gateway.proxy().await;
    let _silent = tokio::net::TcpStream::connect(proxy).await.unwrap();
    assert_ended_in_order(&gateway.terminate().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_cuts_off_what_is_left() {
    let mut gateway = start().await;
    let proxy = gateway.proxy().await;
    let echo = tcp_echo().await;
    let mut tunnel = connect(proxy, "", echo.addr()).await.unwrap();

    gateway.signal(Signal::TERM);
    Gateway::refuses(proxy).await;
    tunnel.echo(b"still open").await;
    gateway.signal(Signal::TERM);
    let finished = gateway.finish().await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains("cut off"), "{}", finished.stderr);
}

/// Fails unless nothing was cut off.
fn assert_ended_in_order(finished: &Finished) {
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(!finished.stderr.contains("cut off"), "{}", finished.stderr);
}
