//! [`Pipe`]: bytes that the kernel moves from one TCP connection to another, which nobody here sees.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use rustix::io::retry_on_intr;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bytes that a pipe has room for, in pages; from a network card a page may hold but one packet's.
const ROOM: usize = 256 * 1024;

/// Pipes at a time, of two descriptors each; who gets none copies. Only a connection whose peer is slow holds one for long.
/// The kernel lets a user without privileges have 64 MiB of room, which these stay below.
const MOST: usize = 128;

/// Pipes that are kept for later.
const KEPT: usize = 8;

/// Those that there are.
static PIPES: AtomicUsize = AtomicUsize::new(0);

/// Empty ones. No state: any is as good as another.
static FREE: Mutex<Vec<Ends>> = Mutex::new(Vec::new());

/// Its ends. Dropped with bytes in it, it is closed.
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

impl Ends {
    /// `None` if there are too many, or no descriptors for another one.
    fn take() -> Option<Self> {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if free.is_some() {
            return free;
        }
        if PIPES.fetch_add(1, Relaxed) < MOST
            && let Ok((read, write)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        {
            // With less room it takes more calls, and that is all.
            let _ = fcntl_setpipe_size(&write, ROOM);
            return Some(Self { read, write });
        }
        PIPES.fetch_sub(1, Relaxed);
        None
    }

    /// For later; it must be empty.
    fn keep(self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(self);
        }
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        PIPES.fetch_sub(1, Relaxed);
    }
}

/// Bytes in a pipe.
pub(crate) struct Pipe {
    ends: Ends,
    held: usize,
}

impl Pipe {
    /// Takes the next bytes of `from`, at most `limit`; none at the end of the stream. `None` if there is no pipe for them. None
    /// is held while this waits. Dropping the future loses no bytes.
    pub(crate) async fn fill(from: &TcpStream, limit: usize) -> io::Result<Option<Self>> {
        let fill = || {
            let Some(ends) = Ends::take() else { return Ok(None) };
            match transfer(from, &ends.write, limit.min(ROOM)) {
                Ok(held) => Ok(Some(Self { ends, held })),
                Err(error) => {
                    ends.keep();
                    Err(error)
                }
            }
        };
        from.async_io(Interest::READABLE, fill).await
    }

    /// Bytes that are in it.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Gives `to` some of the bytes, and says how many. Waits as long as the peer takes none: the caller bounds it.
    pub(crate) async fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        let moved = to.async_io(Interest::WRITABLE, || transfer(&self.ends.read, to, self.held)).await?;
        if moved == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.held -= moved;
        Ok(moved)
    }

    /// Gives the pipe back, which is empty.
    pub(crate) fn keep(self) {
        if self.held == 0 {
            self.ends.keep();
        }
    }
}

fn transfer(from: impl AsFd, to: impl AsFd, limit: usize) -> io::Result<usize> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    Ok(retry_on_intr(|| splice(&from, None, &to, None, limit, flags))?)
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Every pipe that there may be.
    pub(in super::super) fn take_all() -> impl Sized {
        std::iter::from_fn(Ends::take).collect::<Vec<_>>()
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    #[tokio::test]
    async fn bytes_of_a_broken_connection_go_nowhere() {
        for _ in 0..2 * MOST {
            let ((mut client, near), (far, mut origin)) = (pair().await, pair().await);
            client.write_all(b"old").await.unwrap();
            // Others of these tests may hold all of them for a while.
            let Some(abandoned) = Pipe::fill(&near, usize::MAX).await.unwrap() else { continue };
            assert_eq!(abandoned.held(), 3);
            drop(abandoned);

            client.write_all(b"new bytes").await.unwrap();
            let Some(mut pipe) = Pipe::fill(&near, 3).await.unwrap() else { continue };
            assert_eq!(pipe.drain(&far).await.unwrap(), 3);
            pipe.keep();
            drop(far);
            let mut got = String::new();
            origin.read_to_string(&mut got).await.unwrap();
            assert_eq!(got, "new");
        }
        assert!(FREE.lock().unwrap().len() <= KEPT);
    }
}
