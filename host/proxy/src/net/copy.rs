//! [`pipe`]: two connections made one.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;

use super::splice::Pipe;
use super::{Activity, Buffered, Flow, Meters, Stream, Traffic};

/// Bytes at once from which on the kernel moves what comes next: that costs less than to copy them, as measured.
const BULK: usize = 8 * 1024;

/// Why a pipe ended before both sides had closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipeError {
    /// A side failed; resets by impatient clients are common.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// No byte moved for too long.
    #[error("idle for too long")]
    Idle,
}

/// Copies both ways until both sides have ended or one has failed, and counts into `traffic`.
///
/// A side that ends is shut down for writing on the other side, which may still send. With `idle` the pipe ends when no
/// byte has moved in either direction for so long; after a half-close the limit is a minute even without it. What was
/// received already goes first. While nothing moves no buffer is held. Dropping the future ends the pipe; the counts in
/// `traffic` stay true.
///
/// # Errors
/// If it did not end by both sides closing; both sockets are closed all the same.
pub(crate) async fn pipe(
    client: Buffered,
    upstream: Buffered,
    traffic: &Traffic,
    meters: &Meters,
    idle: Option<Duration>,
) -> Result<(), PipeError> {
    let activity = Activity::new();
    let (up, down) = Flow::both(traffic, meters, &activity);
    let (client, from_client) = (client.stream, client.received);
    let (upstream, from_upstream) = (upstream.stream, upstream.received);
    let both = async {
        tokio::try_join!(
            direction(&client, from_client, &upstream, up),
            direction(&upstream, from_upstream, &client, down)
        )
    };
    tokio::select! {
        outcome = both => outcome.map(|_| ()).map_err(PipeError::Io),
        () = activity.idle(idle) => Err(PipeError::Idle),
    }
}

/// One direction: what was received `early`, then everything until the end of `from`, which is passed on too.
async fn direction(from: &Stream, early: BytesMut, to: &Stream, flow: Flow<'_>) -> io::Result<()> {
    if !early.is_empty() {
        to.write_all(&early).await?;
        flow.moved(early.len()).await;
    }
    drop(early);
    let mut bulk = false;
    loop {
        let moved = match (from, to) {
            (Stream::Tcp(from), Stream::Tcp(to)) if bulk => spliced(from, to, &flow).await?,
            _ => None,
        };
        let moved = match moved {
            Some(moved) => moved,
            None => copied(from, to, &flow).await?,
        };
        if moved == 0 {
            break;
        }
        bulk = moved >= BULK;
        flow.pace(moved).await;
        consume_budget().await;
    }
    // It may have closed altogether meanwhile; then its own direction ends too.
    let _ = to.close_write().await;
    flow.activity.half_close();
    Ok(())
}

/// Copies what there is, by way of a buffer; 0 at the end of the stream.
async fn copied(from: &Stream, to: &Stream, flow: &Flow<'_>) -> io::Result<usize> {
    let chunk = from.read(flow.portion()).await?;
    to.write_all(&chunk).await?;
    flow.count(chunk.len());
    Ok(chunk.len())
}

/// As [`copied`], by way of a pipe; `None` if there is none left.
async fn spliced(from: &TcpStream, to: &TcpStream, flow: &Flow<'_>) -> io::Result<Option<usize>> {
    let Some(mut pipe) = Pipe::fill(from, flow.portion()).await? else { return Ok(None) };
    let taken = pipe.held();
    while pipe.held() > 0 {
        flow.count(pipe.drain(to).await?);
    }
    pipe.keep();
    Ok(Some(taken))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    struct Piped {
        client: TcpStream,
        origin: TcpStream,
        traffic: Arc<Traffic>,
        task: JoinHandle<Result<(), PipeError>>,
    }

    async fn piped(early: &[u8], idle: Option<Duration>) -> Piped {
        let ((client, near), (origin, far)) = (pair().await, pair().await);
        let traffic = Arc::new(Traffic::default());
        let counted = Arc::clone(&traffic);
        let mut near = Buffered::new(near);
        near.received.extend_from_slice(early);
        let task =
            tokio::spawn(async move { pipe(near, Buffered::new(far), &counted, &Meters::default(), idle).await });
        Piped { client, origin, traffic, task }
    }

    async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test]
    async fn each_side_may_end_first_and_the_other_goes_on() {
        let mut piped = piped(b"early ", None).await;
        piped.client.write_all(b"question").await.unwrap();
        piped.client.shutdown().await.unwrap();
        assert_eq!(read_all(&mut piped.origin).await, b"early question");
        piped.origin.write_all(b"answer").await.unwrap();
        drop(piped.origin);
        assert_eq!(read_all(&mut piped.client).await, b"answer");
        piped.task.await.unwrap().unwrap();
        assert_eq!(piped.traffic.totals(), (14, 6));

        let mut piped = self::piped(b"", None).await;
        piped.origin.write_all(b"banner").await.unwrap();
        piped.origin.shutdown().await.unwrap();
        assert_eq!(read_all(&mut piped.client).await, b"banner");
        piped.client.write_all(b"late").await.unwrap();
        drop(piped.client);
        assert_eq!(read_all(&mut piped.origin).await, b"late");
        piped.task.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn both_directions_carry_much_at_once() {
        const SIZE: usize = 8 * 1024 * 1024;
        let piped = piped(b"", None).await;
        let pattern = |seed: usize| (0..SIZE).map(|at| (at * 31 + seed) as u8).collect::<Vec<_>>();
        let exchange = |mut stream: TcpStream, send: Vec<u8>| async move {
            let (mut read, mut write) = stream.split();
            let mut got = Vec::new();
            let sending = async {
                write.write_all(&send).await.unwrap();
                write.shutdown().await.unwrap();
            };
            tokio::join!(sending, async { read.read_to_end(&mut got).await.unwrap() });
            got
        };
        let (at_client, at_origin) =
            tokio::join!(exchange(piped.client, pattern(1)), exchange(piped.origin, pattern(2)));
        assert!(at_client == pattern(2) && at_origin == pattern(1));
        piped.task.await.unwrap().unwrap();
        assert_eq!(piped.traffic.totals(), (SIZE as u64, SIZE as u64));
    }

    #[tokio::test]
    async fn without_a_pipe_bytes_are_copied() {
        let _taken = crate::net::splice::tests::take_all();
        let mut piped = piped(b"", None).await;
        let sent = vec![7; 1024 * 1024];
        let sending = async {
            piped.origin.write_all(&sent).await.unwrap();
            piped.origin.shutdown().await.unwrap();
        };
        let ((), got) = tokio::join!(sending, read_all(&mut piped.client));
        assert!(got == sent);
        piped.client.shutdown().await.unwrap();
        piped.task.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_pipe_ends_if_asked_to() {
        let mut piped = piped(b"", Some(Duration::from_secs(30))).await;
        assert!(matches!(piped.task.await.unwrap(), Err(PipeError::Idle)));
        assert_eq!(read_all(&mut piped.client).await, b"");
        assert_eq!(read_all(&mut piped.origin).await, b"");
    }

    #[tokio::test]
    async fn a_reset_ends_both_sides() {
        let mut piped = piped(b"", None).await;
        piped.client.write_all(b"x").await.unwrap();
        piped.origin.read_exact(&mut [0]).await.unwrap();
        socket2::SockRef::from(&piped.client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(piped.client);
        assert_eq!(read_all(&mut piped.origin).await, b"");
        assert!(matches!(piped.task.await.unwrap(), Err(PipeError::Io(_))));
    }

    #[tokio::test]
    async fn an_idle_pipe_is_small() {
        let ((_client, near), (_origin, far)) = (pair().await, pair().await);
        let (traffic, meters) = (Traffic::default(), Meters::default());
        let future = pipe(Buffered::new(near), Buffered::new(far), &traffic, &meters, None);
        assert!(size_of_val(&future) <= 2304, "{} bytes", size_of_val(&future));
    }
}
