//! [`UnixListener`]: a unix socket.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use drawspan_modules::Addr;

use super::tcp::accepted;
use super::{AcceptError, Accepted, BindError, Transport};

/// Accepts connections on a unix socket; the socket's file goes with it.
#[derive(Debug)]
pub struct UnixListener {
    inner: tokio::net::UnixListener,
    path: PathBuf,
}

impl UnixListener {
    /// Listens at `path` with `mode` as its permissions, or as the process's mask leaves them. A socket that nobody listens
    /// on any more is replaced; anything else that is there already is an error.
    ///
    /// # Errors
    /// If that is impossible.
    pub async fn bind(path: &Path, mode: Option<u32>) -> Result<Self, BindError> {
        let failed = |error: io::Error| BindError::Unix { path: path.to_owned(), error };
        let is_socket = tokio::fs::symlink_metadata(path).await.is_ok_and(|found| found.file_type().is_socket());
        if is_socket {
            match tokio::net::UnixStream::connect(path).await {
                Ok(_) => return Err(failed(io::ErrorKind::AddrInUse.into())),
                Err(_) => tokio::fs::remove_file(path).await.map_err(failed)?,
            }
        }
        let inner = tokio::net::UnixListener::bind(path).map_err(failed)?;
        if let Some(mode) = mode {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
        }
        Ok(Self { inner, path: path.to_owned() })
    }

    pub(super) fn local_addr(&self) -> Addr {
        Addr::Unix(Some(self.path.as_path().into()))
    }

    pub(super) async fn accept(&self) -> Result<Accepted, AcceptError> {
        let (stream, client) = accepted(|| self.inner.accept()).await?;
        Ok(Accepted { transport: Transport::Stream(stream.into()), client: client.into(), local: self.local_addr() })
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        // It may be gone already, which is as good.
        let _ = std::fs::remove_file(&self.path);
    }
}
