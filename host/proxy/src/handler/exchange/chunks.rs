//! [`Chunks`]: a body whose length nobody knows yet, on its way to a client (RFC 9112 §7.1).

use crate::net::{BodyError, Flow, Stream, Tap};

/// Writes a body in chunks.
pub(super) struct Chunks<'c> {
    pub(super) client: &'c Stream,
    pub(super) down: Flow<'c>,
    pub(super) tap: Option<&'c Tap>,
}

impl Chunks<'_> {
    /// One chunk, if there is something for it.
    pub(super) async fn write(&self, content: &[u8]) -> Result<(), BodyError> {
        if content.is_empty() {
            return Ok(());
        }
        self.tap.iter().for_each(|tap| tap.hear(content));
        let mut chunk = format!("{:x}\r\n", content.len()).into_bytes();
        chunk.extend(content);
        chunk.extend(b"\r\n");
        self.send(&chunk).await
    }

    /// What comes behind the last chunk.
    pub(super) async fn end(&self) -> Result<(), BodyError> {
        self.send(b"0\r\n\r\n").await
    }

    async fn send(&self, bytes: &[u8]) -> Result<(), BodyError> {
        self.client.write_all(bytes).await.map_err(BodyError::Write)?;
        self.down.moved(bytes.len()).await;
        Ok(())
    }
}
