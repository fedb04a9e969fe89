//! [`Told`]: the record and the log line of a request, when its response is sent.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use drawspan_wire::http1::{Header, RequestHead, ResponseHead, Version};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};

use super::Body;
use crate::handler::HandlerRecorder;
use crate::handler::record::{HttpRecord, Record};
use crate::handler::session::Session;

/// A request that somebody is told about when this is dropped.
pub(super) struct Told {
    record: Option<(Record, HandlerRecorder)>,
    /// For the log.
    request: String,
    handler: &'static str,
    service: Arc<str>,
    sid: Arc<str>,
    client: String,
    started: Instant,
    status: u16,
    /// Bytes of the response's body.
    sent: u64,
}

impl Told {
    /// `user` is who the client says it is.
    pub(super) fn of(session: &Session<'_>, handler: &'static str, request: &Request<Incoming>, user: &[u8]) -> Self {
        let target = request.uri().to_string();
        let record = session.parts.recorder.as_ref().map(|recorder| {
            let host = request.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
            let head = RequestHead {
                method: request.method().as_str(),
                target: &target,
                version: version(request.version()),
                // GOST: credentials are recorded in clear.
                headers: headers(request.headers()).filter(|header| !header.is("authorization")).collect(),
            };
            let mut record = Record::new(&session.info, "tcp");
            record.begin("http");
            record.host = host.to_owned();
            record.client_id = String::from_utf8_lossy(user).into_owned();
            record.http = Some(HttpRecord::of(&head, host));
            (record, recorder.clone())
        });
        Self {
            record,
            request: format!("{} {target} {:?}", request.method(), request.version()),
            handler,
            service: Arc::clone(&session.info.service),
            sid: Arc::clone(&session.info.sid),
            client: session.info.client.to_string(),
            started: Instant::now(),
            status: 0,
            sent: 0,
        }
    }

    /// Lasts as long as the response.
    pub(super) fn until_sent(mut self, response: Response<Body>) -> Response<Body> {
        self.status = response.status().as_u16();
        if let Some((Record { http: Some(http), .. }, _)) = &mut self.record {
            let headers = headers(response.headers()).collect();
            http.answered(&ResponseHead { version: Version::Http11, status: self.status, reason: "", headers });
        }
        let passed = move |frame: Frame<Bytes>| {
            self.passed(&frame);
            frame
        };
        response.map(|body| body.map_frame(passed).boxed_unsync())
    }

    fn passed(&mut self, frame: &Frame<Bytes>) {
        self.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some((record, recorder)) = self.record.take() {
            record.write(&recorder);
        }
        let duration = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let Self { request, handler, service, sid, client, status, sent, .. } = self;
        tracing::info!(kind = "handler", handler, %service, %sid, %client, duration, "{request} {status} {sent}");
    }
}

fn headers(map: &HeaderMap) -> impl Iterator<Item = Header<'_>> {
    map.iter().map(|(name, value)| Header { name: name.as_str(), value: value.as_bytes() })
}

fn version(version: http::Version) -> Version {
    if version == http::Version::HTTP_10 { Version::Http10 } else { Version::Http11 }
}
