//! [`Written`]: the record of an exchange.

use std::sync::{Mutex, PoisonError};

use drawspan_wire::http1::{RequestHead, ResponseHead};

use crate::handler::record::{HttpRecord, Record};
use crate::handler::session::Session;
use crate::net::Tap;

/// The record of an exchange, written when it is over, however it ends.
pub(in crate::handler) struct Written<'w> {
    record: Mutex<Option<Record>>,
    session: &'w Session<'w>,
    /// Bytes that moved before it.
    before: (u64, u64),
    /// Bodies of the request and of the response, if they are recorded.
    bodies: Option<(Tap, Tap)>,
}

impl<'w> Written<'w> {
    /// Of a request to `host`. `record` is what is known already; `None` if nobody wants a record.
    pub(in crate::handler) fn new(
        session: &'w Session<'w>,
        record: Option<Record>,
        head: &RequestHead<'_>,
        host: &str,
    ) -> Self {
        let limit = session.parts.recorder.as_ref().and_then(|recorder| recorder.http_body);
        let record = record.map(|mut record| {
            record.begin("http");
            record.client_ip = HttpRecord::client_ip(&head.headers);
            record.http = Some(HttpRecord::of(head, host));
            record
        });
        let bodies = limit.filter(|_| record.is_some()).map(|limit| (Tap::new(limit), Tap::new(limit)));
        Self { record: Mutex::new(record), session, before: session.traffic.totals(), bodies }
    }

    /// As it is now, if anybody wants it.
    pub(super) fn copy(&self) -> Option<Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(in crate::handler) fn note(&self, add: impl FnOnce(&mut Record)) {
        if let Some(record) = self.record.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            add(record);
        }
    }

    /// What was answered, by whomever.
    pub(in crate::handler) fn status(&self, status: u16) {
        self.note(|record| record.http.iter_mut().for_each(|http| http.status_code = status));
    }

    pub(super) fn answered(&self, response: &ResponseHead<'_>) {
        self.note(|record| record.http.iter_mut().for_each(|http| http.answered(response)));
    }

    pub(super) fn request_tap(&self) -> Option<&Tap> {
        self.bodies.as_ref().map(|(request, _)| request)
    }

    pub(super) fn response_tap(&self) -> Option<&Tap> {
        self.bodies.as_ref().map(|(_, response)| response)
    }
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        let (input, output) = self.session.traffic.totals();
        let record = self.record.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(mut record), Some(recorder)) = (record, &self.session.parts.recorder) {
            record.input_bytes = input - self.before.0;
            record.output_bytes = output - self.before.1;
            if let (Some(http), Some((request, response))) = (&mut record.http, &self.bodies) {
                http.request.heard(request);
                http.response.heard(response);
            }
            record.write(recorder);
        }
    }
}
