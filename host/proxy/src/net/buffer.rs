//! [`Buffer`]: memory for bytes in flight, held only while there are any.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Buffers that a thread keeps for later: as many as its tasks hold at once in practice, as a task keeps its buffer
/// across an `.await` only when its peer is slow.
const KEPT: usize = 16;

thread_local! {
    /// Free memory only, no state: any thread's buffer is as good as another's.
    static FREE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of 256 KiB from the thread's pool; returned when dropped. Its content is whatever it was used for last.
pub(crate) struct Buffer(Box<[u8]>);

impl Buffer {
    /// Bytes of one: large enough that system calls cost little beside copying and encrypting.
    pub(crate) const SIZE: usize = 256 * 1024;

    pub(crate) fn take() -> Self {
        let free = FREE.with(|free| free.borrow_mut().pop());
        Self(free.unwrap_or_else(|| vec![0; Self::SIZE].into_boxed_slice()))
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        // The pool is gone while the thread ends; then so is the buffer.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < KEPT {
                free.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_and_not_hoarded() {
        let first = Buffer::take();
        let at = first.as_ptr();
        drop(first);
        assert_eq!(Buffer::take().as_ptr(), at);
        let many: Vec<_> = (0..KEPT + 4).map(|_| Buffer::take()).collect();
        assert!(many.iter().all(|buffer| buffer.len() == Buffer::SIZE));
        drop(many);
        assert_eq!(FREE.with(|free| free.borrow().len()), KEPT);
    }
}
