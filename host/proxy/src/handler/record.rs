//! [`Record`]: what `recorder.service.handler` is told (GOST reference, modules 6.1).

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drawspan_modules::{ConnInfo, Recorder};
use drawspan_wire::http1::{Headers, RequestHead, ResponseHead};
use drawspan_wire::tls::{ClientHello, ServerHello};
use serde::Serialize;
use tokio_util::task::TaskTracker;

use super::dns::DnsRecord;
use super::frames::FrameRecord;
use crate::net::Tap;

/// Keeps a handler's records.
#[derive(Clone)]
pub struct HandlerRecorder {
    /// Is told.
    pub recorder: Recorder,
    /// Where it is told: no connection waits for it, but the end of the process does.
    pub tasks: TaskTracker,
    /// So many bytes of each HTTP body are part of the record; none of them if `None`.
    pub http_body: Option<usize>,
}

/// One connection, or one HTTP exchange.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) node: String,
    service: String,
    pub(crate) network: &'static str,
    remote: String,
    local: String,
    client: String,
    pub(crate) src: String,
    pub(crate) dst: String,
    pub(crate) host: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) proto: &'static str,
    #[serde(rename = "clientIP")]
    pub(crate) client_ip: String,
    #[serde(rename = "clientID", skip_serializing_if = "String::is_empty")]
    pub(crate) client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<HttpRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) websocket: Option<FrameRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<TlsRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dns: Option<DnsRecord>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) route: String,
    pub(crate) input_bytes: u64,
    pub(crate) output_bytes: u64,
    /// The gateway whose tunnel it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) redirect: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) err: String,
    pub(crate) sid: String,
    /// Nanoseconds.
    duration: u64,
    time: String,
    #[serde(skip)]
    started: Instant,
}

/// An HTTP request and its response.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HttpRecord {
    host: String,
    method: String,
    proto: &'static str,
    pub(crate) scheme: &'static str,
    uri: String,
    pub(crate) status_code: u16,
    pub(crate) request: Message,
    pub(crate) response: Message,
}

/// What both sides of a TLS connection said in the clear.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TlsRecord {
    server_name: String,
    cipher_suite: String,
    compression_method: u8,
    proto: String,
    version: String,
    client_hello: String,
    server_hello: String,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    /// -1 if it isn't known, as in Go.
    content_length: i64,
    /// None before there is a message.
    header: Option<serde_json::Map<String, serde_json::Value>>,
    body: Option<String>,
}

impl Record {
    pub(crate) fn new(info: &ConnInfo, network: &'static str) -> Self {
        Self {
            node: String::new(),
            service: info.service.to_string(),
            network,
            remote: info.client.to_string(),
            local: info.local.to_string(),
            client: info.client.to_string(),
            src: String::new(),
            dst: String::new(),
            host: String::new(),
            proto: "",
            client_ip: String::new(),
            client_id: String::new(),
            http: None,
            websocket: None,
            tls: None,
            dns: None,
            route: String::new(),
            input_bytes: 0,
            output_bytes: 0,
            redirect: String::new(),
            err: String::new(),
            sid: info.sid.to_string(),
            duration: 0,
            time: jiff::Timestamp::now().to_string(),
            started: Instant::now(),
        }
    }

    /// It is now about something that only begins, in that protocol.
    pub(crate) fn begin(&mut self, proto: &'static str) {
        self.proto = proto;
        self.time = jiff::Timestamp::now().to_string();
        self.started = Instant::now();
    }

    /// Tells the recorder.
    pub(crate) fn write(mut self, to: &HandlerRecorder) {
        self.duration = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let data = match serde_json::to_vec(&self) {
            Ok(data) => data,
            Err(error) => return tracing::warn!(kind = "recorder", service = self.service, "{error}"),
        };
        let recorder = to.recorder.clone();
        // Without a runtime the process is at its end, and nobody is left to be told.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        to.tasks.spawn_on(
            async move {
                if let Err(error) = recorder.write(data).await {
                    tracing::warn!(kind = "recorder", service = self.service, sid = self.sid, "{error}");
                }
            },
            &runtime,
        );
    }
}

impl HttpRecord {
    pub(crate) fn of(head: &RequestHead<'_>, host: &str) -> Self {
        Self {
            host: host.to_owned(),
            method: head.method.to_owned(),
            proto: head.version.as_str(),
            scheme: "",
            uri: head.target.to_owned(),
            status_code: 0,
            request: Message::of(&head.headers),
            response: Message::default(),
        }
    }

    pub(crate) fn answered(&mut self, head: &ResponseHead<'_>) {
        self.status_code = head.status;
        self.response = Message::of(&head.headers);
    }
}

impl HttpRecord {
    /// The request goes on with another header of that name.
    pub(crate) fn set_header(&mut self, name: &str, value: &str) {
        let headers = self.request.header.get_or_insert_default();
        headers.insert(canonical(name), vec![value].into());
    }

    /// Whom a request says it comes from: nobody vouches for it.
    pub(crate) fn client_ip(headers: &Headers<'_>) -> String {
        let names = ["cf-connecting-ip", "x-forwarded-for", "x-real-ip"];
        let mut said = names.iter().filter_map(|name| std::str::from_utf8(headers.get(name)?).ok());
        let ip = said.find_map(|said| said.split(',').next()?.trim().parse::<std::net::IpAddr>().ok());
        ip.map(|ip| ip.to_string()).unwrap_or_default()
    }
}

impl TlsRecord {
    /// Of a ClientHello that came as these bytes.
    pub(crate) fn of(hello: &ClientHello, bytes: &[u8]) -> Self {
        Self {
            server_name: hello.server_name.clone().unwrap_or_default(),
            proto: hello.alpn.first().map(|proto| String::from_utf8_lossy(proto).into_owned()).unwrap_or_default(),
            client_hello: hex(bytes),
            ..Self::default()
        }
    }

    /// The server answered with these bytes.
    pub(crate) fn answered(&mut self, hello: &ServerHello, bytes: &[u8]) {
        // Go's names: those of TLS 1.3 don't say so.
        let name = rustls::CipherSuite::from(hello.cipher_suite).as_str().map(|name| name.replace("TLS13_", "TLS_"));
        self.cipher_suite = name.unwrap_or_else(|| hello.cipher_suite.to_string());
        self.compression_method = hello.compression_method;
        self.version = match hello.version {
            0x0301 => "tls1.0".to_owned(),
            0x0302 => "tls1.1".to_owned(),
            0x0303 => "tls1.2".to_owned(),
            0x0304 => "tls1.3".to_owned(),
            other => other.to_string(),
        };
        if let Some(proto) = &hello.alpn {
            self.proto = String::from_utf8_lossy(proto).into_owned();
        }
        self.server_hello = hex(bytes);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Message {
    /// What was heard of the body.
    pub(crate) fn heard(&mut self, tap: &Tap) {
        let (beginning, length) = tap.heard();
        self.content_length = i64::try_from(length).unwrap_or(i64::MAX);
        self.body = (length > 0).then(|| STANDARD.encode(beginning));
    }

    fn of(headers: &Headers<'_>) -> Self {
        let mut map = serde_json::Map::new();
        // Go keeps the host elsewhere. GOST: credentials for the proxy are recorded in clear.
        for header in headers.iter().filter(|header| !header.is("proxy-authorization") && !header.is("host")) {
            let values = map.entry(canonical(header.name)).or_insert_with(|| serde_json::Value::Array(Vec::new()));
            if let serde_json::Value::Array(values) = values {
                values.push(String::from_utf8_lossy(header.value).into());
            }
        }
        let length = headers.get("content-length").and_then(|length| std::str::from_utf8(length).ok()?.parse().ok());
        let is_chunked = headers.get("transfer-encoding").is_some();
        Self { content_length: if is_chunked { -1 } else { length.unwrap_or(0) }, header: Some(map), body: None }
    }
}

/// A header's name as Go writes it: `x-foo` is `X-Foo`.
fn canonical(name: &str) -> String {
    let mut start = true;
    name.chars()
        .map(|c| {
            let c = if start { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            start = c == '-';
            c
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_and_their_order_are_gosts() {
        let client: std::net::SocketAddr = "127.0.0.1:1".parse().unwrap();
        let info = ConnInfo {
            certificate: None,
            service: "s".into(),
            sid: "x".into(),
            client: client.into(),
            local: client.into(),
        };
        let head = RequestHead::parse(
            b"GET http://a/ HTTP/1.1\r\nx-foo: 1\r\nX-Foo: 2\r\nProxy-Authorization: Basic c2VjcmV0\r\n\r\n",
        )
        .unwrap();
        let mut record = Record { proto: "http", ..Record::new(&info, "tcp") };
        record.http = Some(HttpRecord::of(&head, "a"));
        record.time = "T".to_owned();
        assert_eq!(
            serde_json::to_string(&record).unwrap(),
            r#"{"service":"s","network":"tcp","remote":"127.0.0.1:1","local":"127.0.0.1:1","client":"127.0.0.1:1","#
                .to_owned()
                + r#""src":"","dst":"","host":"","proto":"http","clientIP":"","http":{"host":"a","method":"GET","#
                + r#""proto":"HTTP/1.1","scheme":"","uri":"http://a/","statusCode":0,"request":{"contentLength":0,"#
                + r#""header":{"X-Foo":["1","2"]},"body":null},"response":{"contentLength":0,"header":null,"body":null}},"#
                + r#""inputBytes":0,"outputBytes":0,"sid":"x","duration":0,"time":"T"}"#
        );
    }
}
