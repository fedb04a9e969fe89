//! [`Outbox`]: packets on their way to a client.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Bytes that wait for a client that doesn't take them; further packets are dropped, as routers do. GOST: everybody who
/// sends to the client waits with them.
const MOST: usize = 256 * 1024;

/// Packets in frames, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<Vec<u8>>,
    filled: Notify,
}

impl Outbox {
    /// Adds a packet, unless too much waits already. One longer than any packet is dropped.
    pub(super) fn push(&self, packet: &[u8]) -> bool {
        let Ok(length) = u16::try_from(packet.len()) else { return false };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = waiting.len() + packet.len() <= MOST;
        if fits {
            waiting.extend(length.to_be_bytes());
            waiting.extend_from_slice(packet);
            self.filled.notify_one();
        }
        fits
    }

    /// Waits for packets and takes them, in place of what is in `taken`. Dropping the future loses none. For one at a time.
    pub(super) async fn take(&self, taken: &mut Vec<u8>) {
        taken.clear();
        loop {
            {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if !waiting.is_empty() {
                    return std::mem::swap(&mut *waiting, taken);
                }
            }
            self.filled.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn packets_wait_in_order_and_never_too_many() {
        let outbox = Outbox::default();
        assert!(outbox.push(b"abc") && outbox.push(b"") && outbox.push(b"d"));
        let mut taken = Vec::new();
        outbox.take(&mut taken).await;
        assert_eq!(taken, b"\x00\x03abc\x00\x00\x00\x01d");
        assert!(!outbox.push(&[0; 65_536]));
        let packet = [7; 65_535];
        let pushed = (0..1000).filter(|_| outbox.push(&packet)).count();
        assert_eq!(pushed, 3);
        outbox.take(&mut taken).await;
        assert_eq!(taken.len(), 3 * (2 + packet.len()));
        let (taken, pushed) = tokio::join!(
            async {
                outbox.take(&mut taken).await;
                taken
            },
            async { outbox.push(b"late") }
        );
        assert!(pushed && taken == b"\x00\x04late");
    }
}
