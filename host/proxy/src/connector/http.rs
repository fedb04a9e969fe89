//! [`Http`]: CONNECT (RFC 9110 §9.3.6; GOST reference, dataplane 7).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drawspan_wire::http1::{HeadScanner, HostPort, ResponseHead};

use super::{ConnectError, within};
use crate::net::{Buffered, HeadReadError, read_head};

/// Asks an HTTP proxy.
#[derive(Clone, Default)]
pub struct Http {
    /// User name and password.
    pub auth: Option<(String, String)>,
    /// Sent along.
    pub headers: Vec<(String, String)>,
    /// For the whole exchange; `None`: as long as the dial may take.
    pub timeout: Option<Duration>,
}

impl Http {
    pub(super) async fn connect(&self, conn: Buffered, target: &HostPort) -> Result<Buffered, ConnectError> {
        within(self.timeout, self.exchange(conn, &self.request(target, &[]))).await
    }

    /// A connection for frames with datagrams, which name their targets (GOST's UDP over HTTP). A `target` that is known is
    /// named here too, where a server may judge it.
    pub(super) async fn associate(&self, conn: Buffered, target: Option<&HostPort>) -> Result<Buffered, ConnectError> {
        let anywhere = HostPort { host: "0.0.0.0".to_owned(), port: 0 };
        let request = self.request(target.unwrap_or(&anywhere), &["X-Gost-Protocol: udp"]);
        within(self.timeout, self.exchange(conn, &request)).await
    }

    async fn exchange(&self, mut conn: Buffered, request: &[u8]) -> Result<Buffered, ConnectError> {
        conn.stream.write_all(request).await?;
        let head = match read_head(&conn.stream, &mut conn.received, HeadScanner::response()).await {
            Ok(Some(head)) => head,
            Ok(None) => return Err(ConnectError::Broken("closed without an answer".to_owned())),
            Err(HeadReadError::Io(error)) => return Err(error.into()),
            Err(HeadReadError::Head(error)) => return Err(ConnectError::Broken(error.to_string())),
        };
        let response = ResponseHead::parse(&head).map_err(|error| ConnectError::Broken(error.to_string()))?;
        match response.status {
            200 => Ok(conn),
            status => Err(ConnectError::Refused(format!("{status} {}", response.reason))),
        }
    }

    fn request(&self, target: &HostPort, more: &[&str]) -> Vec<u8> {
        let mut head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
            head.push_str("User-Agent: Go-http-client/1.1\r\n");
        }
        if let Some((username, password)) = &self.auth {
            let credentials = STANDARD.encode(format!("{username}:{password}"));
            head.push_str(&format!("Proxy-Authorization: Basic {credentials}\r\n"));
        }
        head.push_str("Proxy-Connection: keep-alive\r\n");
        for line in more {
            head.push_str(line);
            head.push_str("\r\n");
        }
        for (name, value) in &self.headers {
            // Line ends become blanks, as in Go.
            head.push_str(&format!("{name}: {value}").replace(['\r', '\n'], " "));
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_to_the_letter() {
        let target = HostPort { host: "::1".to_owned(), port: 443 };
        let http = Http {
            auth: Some(("u".to_owned(), "p".to_owned())),
            headers: vec![("X-A".to_owned(), "1\r\n2".to_owned())],
            timeout: None,
        };
        assert_eq!(
            String::from_utf8(http.request(&target, &[])).unwrap(),
            "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\nUser-Agent: Go-http-client/1.1\r\n\
             Proxy-Authorization: Basic dTpw\r\nProxy-Connection: keep-alive\r\nX-A: 1  2\r\n\r\n"
        );
    }
}
