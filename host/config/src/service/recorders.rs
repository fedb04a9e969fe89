//! `services[].recorders`: who is told what.

use crate::At;
use crate::decode::{Context, Item, Kind, Object, Unknown};
use crate::render;

/// One use of a recorder.
#[derive(Clone, Debug)]
pub struct RecorderUse {
    /// The recorder's name.
    pub recorder: At<String>,
    /// What it is told.
    pub record: Record,
    /// Bodies of HTTP messages are part of the record (`http.body`): so many bytes of each (`http.maxBodySize`; default
    /// 64 KiB, at most 1 MiB). None: without bodies.
    pub http_body: Option<u64>,
    /// The metadata as JSON, for plugins.
    pub metadata: Option<String>,
}

/// What a recorder is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// The client's IP address, for each connection.
    ClientAddress,
    /// The target's host, for each dial.
    DialAddress,
    /// The target's host, for each dial that failed.
    DialError,
    /// A JSON object, for each connection or HTTP exchange.
    Handler,
}

const RECORDS: [(&str, Record); 4] = [
    ("recorder.service.client.address", Record::ClientAddress),
    ("recorder.service.router.dial.address", Record::DialAddress),
    ("recorder.service.router.dial.address.error", Record::DialError),
    ("recorder.service.handler", Record::Handler),
];

const MAX_BODY: u64 = 1 << 20;

pub(super) fn decode(service: &mut Object<'_>, cx: &mut Context) -> Vec<RecorderUse> {
    let items = service.take("recorders").map(|item| item.elements(cx)).unwrap_or_default();
    let mut uses: Vec<RecorderUse> = Vec::new();
    for item in items {
        let Some(one) = one(&item, cx) else {
            continue;
        };
        match uses.iter().find(|other| other.record == one.record) {
            // As in GOST.
            Some(first) => {
                let first = &first.recorder.value;
                cx.push(item.warning(format!("ignored: only the first use for a record counts, that of `{first}`")));
            }
            None => uses.push(one),
        }
    }
    uses
}

fn one(item: &Item<'_>, cx: &mut Context) -> Option<RecorderUse> {
    let mut object = Object::new(item, cx)?;
    let recorder = object.reference("name", Kind::Recorder, cx);
    if recorder.is_none() {
        object.missing::<()>("name", cx);
    }
    let record = match object.take("record") {
        Some(item) => item.choice("record", &RECORDS, cx),
        None => object.missing("record", cx),
    };
    let json = item.child("metadata").map(|item| render::json_line(item.node));
    let mut metadata = object.section("metadata", cx);
    let with_body = metadata.flag("http.body", cx);
    let size = metadata.take("http.maxBodySize").and_then(|item| item.size(0..=u64::MAX, cx));
    let size = size.filter(|size| *size > 0).unwrap_or(64 << 10).min(MAX_BODY);
    // A plugin may be told anything.
    drop(metadata);
    object.finish(&[], Unknown::Warn, cx);
    Some(RecorderUse { recorder: recorder?, record: record?, http_body: with_body.then_some(size), metadata: json })
}
