//! [`Files`]: a folder by HTTP.

use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tempfile::TempPath;
use tokio::fs;
use tokio::io::AsyncWriteExt as _;
use tokio::task::spawn_blocking;
use tower_http::services::ServeDir;

use super::{Body, not_found, of_type, text};

/// What stands for itself in the link to a file.
const LINK: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// A folder: its files, `index.html` or a listing for folders, and uploads where they are allowed. Symbolic links are
/// followed, as in GOST.
pub struct Files {
    dir: PathBuf,
    put: bool,
    serve: ServeDir,
}

impl Files {
    /// The folder `dir`; with `put` clients may upload.
    #[must_use]
    pub fn new(dir: PathBuf, put: bool) -> Self {
        Self { serve: ServeDir::new(&dir), dir, put }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        if self.put && *request.method() == Method::PUT {
            return match self.keep(&path, request.into_body()).await {
                Ok(()) => text(StatusCode::CREATED, ""),
                Err((status, reason)) => text(status, format!("{reason}\n")),
            };
        }
        let response = match self.serve.clone().try_call(request).await {
            Ok(response) => response,
            Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        };
        if response.status() == StatusCode::NOT_FOUND {
            return match self.list(&path).await {
                Some(listing) => of_type("text/html; charset=utf-8", listing),
                None => not_found(),
            };
        }
        response.map(|body| body.boxed_unsync())
    }

    /// Where in the folder `path` is; `None` if it isn't.
    fn inside(&self, path: &str) -> Option<PathBuf> {
        let path = percent_decode_str(path.strip_prefix('/')?).decode_utf8().ok()?;
        let inside = Path::new(&*path);
        let is_inside = inside.components().all(|part| matches!(part, Component::Normal(_)));
        (is_inside && !path.contains('\0')).then(|| self.dir.join(inside))
    }

    /// The names in the folder at `path`; `None` if there is none.
    async fn list(&self, path: &str) -> Option<String> {
        let mut entries = fs::read_dir(self.inside(path)?).await.ok()?;
        let mut names = Vec::new();
        while let Ok(Some(entry)) = entries.next_entry().await {
            let is_folder = fs::metadata(entry.path()).await.is_ok_and(|metadata| metadata.is_dir());
            let name = entry.file_name().to_string_lossy().into_owned();
            names.push(if is_folder { name + "/" } else { name });
        }
        names.sort();
        let mut page = "<!doctype html>\n<meta charset=\"utf-8\">\n<pre>\n".to_owned();
        for name in names {
            let shown = name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            // With a dot in front, so that no name looks like a URL.
            let _ = writeln!(page, "<a href=\"./{}\">{shown}</a>", utf8_percent_encode(&name, LINK));
        }
        page.push_str("</pre>\n");
        Some(page)
    }

    /// Keeps an upload, whole or not at all. GOST: what was there is gone when an upload breaks off.
    async fn keep(&self, path: &str, mut body: Incoming) -> Result<(), (StatusCode, String)> {
        let failed = |error: io::Error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
        let to = self.inside(path).filter(|to| *to != self.dir && !path.ends_with('/'));
        let to = to.ok_or_else(|| (StatusCode::BAD_REQUEST, "not a path for a file".to_owned()))?;
        let folder = to.parent().unwrap_or(&self.dir).to_owned();
        fs::create_dir_all(&folder).await.map_err(failed)?;
        let (file, kept) = blocking(move || new_file(&folder)).await.map_err(failed)?;
        let mut file = fs::File::from_std(file);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
            if let Some(data) = frame.data_ref() {
                file.write_all(data).await.map_err(failed)?;
            }
        }
        file.flush().await.map_err(failed)?;
        blocking(move || kept.persist(to).map_err(|error| error.error)).await.map_err(failed)
    }
}

/// A file without a name of its own yet, which goes away unless it gets one.
fn new_file(folder: &Path) -> io::Result<(std::fs::File, TempPath)> {
    // What the process's mask leaves of them.
    let permissions = std::fs::Permissions::from_mode(0o666);
    let file = tempfile::Builder::new().prefix(".upload-").permissions(permissions).tempfile_in(folder)?;
    Ok(file.into_parts())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_folder() {
        let files = Files::new("/srv".into(), true);
        for (path, expected) in [
            ("/", Some("/srv/")),
            ("/a/b%20c", Some("/srv/a/b c")),
            ("/a//b/", Some("/srv/a/b")),
            ("/..", None),
            ("/a/../b", None),
            ("/%2e%2e/etc", None),
            ("/a%2f..%2f..%2fetc", None),
            ("/%2fetc/passwd", None),
            ("/a%00", None),
            ("/%ff", None),
            ("etc", None),
            ("*", None),
        ] {
            assert_eq!(files.inside(path).as_deref(), expected.map(Path::new), "{path}");
        }
    }
}
