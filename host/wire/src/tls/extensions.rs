//! What a ClientHello consists of, up to its extensions; and extensions of any hello.

use super::TlsError;
use crate::cursor::{Cursor, Short};

pub(super) const SERVER_NAME: u16 = 0;
pub(super) const ALPN: u16 = 16;
pub(super) const SUPPORTED_VERSIONS: u16 = 43;

/// A ClientHello without its handshake header, borrowed from its bytes.
pub(super) struct Parts<'b> {
    /// The version that it names where old servers look.
    pub(super) legacy_version: u16,
    /// Everything before the length of the extensions.
    pub(super) before: &'b [u8],
    /// The extensions in order; none if there is no list of them at all.
    pub(super) extensions: Vec<Extension<'b>>,
}

pub(super) struct Extension<'b> {
    pub(super) kind: u16,
    pub(super) data: &'b [u8],
}

impl<'b> Parts<'b> {
    pub(super) fn parse(body: &'b [u8]) -> Result<Self, TlsError> {
        Self::read(body).map_err(|Short| TlsError::Malformed)
    }

    fn read(body: &'b [u8]) -> Result<Self, Short> {
        let mut cursor = Cursor::new(body);
        let legacy_version = cursor.u16()?;
        cursor.take(32)?; // random
        cursor.short_string()?; // session id
        cursor.long_string()?; // cipher suites
        cursor.short_string()?; // compression methods
        let before = body.get(..cursor.position()).ok_or(Short)?;
        Ok(Self { legacy_version, before, extensions: extensions(&mut cursor)? })
    }

    /// The data of the only extension of that kind.
    pub(super) fn extension(&self, kind: u16) -> Result<Option<&'b [u8]>, TlsError> {
        only(&self.extensions, kind)
    }

    /// The server's name, as bytes.
    pub(super) fn server_name(&self) -> Result<Option<&'b [u8]>, TlsError> {
        let Some(data) = self.extension(SERVER_NAME)? else {
            return Ok(None);
        };
        let read = || {
            let mut cursor = Cursor::new(data);
            let mut list = Cursor::new(cursor.long_string()?);
            // One name, a host's: there never was another type.
            let name = (list.u8()?, list.long_string()?);
            if name.0 == 0 && list.rest().is_empty() && cursor.rest().is_empty() { Ok(name.1) } else { Err(Short) }
        };
        read().map(Some).map_err(|Short| TlsError::Malformed)
    }
}

/// The list of extensions that is the rest of a message, if there is one at all.
pub(super) fn extensions<'b>(message: &mut Cursor<'b>) -> Result<Vec<Extension<'b>>, Short> {
    let mut extensions = Vec::new();
    if !message.rest().is_empty() {
        let mut list = Cursor::new(message.long_string()?);
        while !list.rest().is_empty() {
            extensions.push(Extension { kind: list.u16()?, data: list.long_string()? });
        }
    }
    if message.rest().is_empty() { Ok(extensions) } else { Err(Short) }
}

/// The data of the only extension of that kind.
pub(super) fn only<'b>(extensions: &[Extension<'b>], kind: u16) -> Result<Option<&'b [u8]>, TlsError> {
    let mut found = extensions.iter().filter(|extension| extension.kind == kind);
    let data = found.next().map(|extension| extension.data);
    // Which of two would count is anyone's guess.
    if found.next().is_some() { Err(TlsError::Malformed) } else { Ok(data) }
}
