//! Recorder, observer, rewriter.

use drawspan_bridge_gost::{Word, detail, done, from_metadata, known, text, to_metadata};
use drawspan_wit::CallError;
use drawspan_wit::observer::{self, EventDetail, ObserveRequest};
use drawspan_wit::recorder::WriteRequest;
use drawspan_wit::rewriter::RewriteRequest;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::{HttpCall, Payload, Verdict, answer, is_ok};
use crate::json::{self, Base64};

/// Data and what is known of it. `data` is null where GOST has none.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Data {
    data: Option<Base64>,
    metadata: Base64,
}

impl Data {
    fn encode(data: Option<&[u8]>, metadata: &Option<String>) -> Payload {
        let data = data.map(|data| Base64(data.into()));
        Payload::Json(json::to_vec(&Self { data, metadata: Base64(to_metadata(metadata)) }))
    }

    fn decode(body: &[u8]) -> Result<(Vec<u8>, Option<String>), String> {
        let Self { data, metadata } = json::request(body)?;
        Ok((data.unwrap_or_default().0, from_metadata(metadata.0)?))
    }
}

impl HttpCall for WriteRequest {
    const METHOD: Method = Method::POST;

    fn encode(&self) -> Payload {
        Data::encode(Some(&self.data), &self.metadata)
    }

    fn decode(body: &[u8]) -> Result<Self::Reply, CallError> {
        done(is_ok(body)?)
    }

    /// As in GOST: empty records aren't sent.
    fn unsent(&self) -> Option<Self::Reply> {
        self.data.is_empty().then_some(())
    }

    fn decode_request(body: &[u8], _: &[(String, String)]) -> Result<Self, String> {
        let (data, metadata) = Data::decode(body)?;
        Ok(Self { data, metadata })
    }

    fn encode_reply((): Self::Reply) -> (StatusCode, Vec<u8>) {
        answer(&Verdict { ok: true })
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Events {
    events: Vec<Event>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Event {
    kind: String,
    service: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    client: String,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<Stats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Stats {
    #[serde(rename(serialize = "totalConns", deserialize = "totalconns"))]
    total_conns: u64,
    #[serde(rename(serialize = "currentConns", deserialize = "currentconns"))]
    current_conns: u64,
    #[serde(rename(serialize = "inputBytes", deserialize = "inputbytes"))]
    input_bytes: u64,
    #[serde(rename(serialize = "outputBytes", deserialize = "outputbytes"))]
    output_bytes: u64,
    #[serde(rename(serialize = "totalErrs", deserialize = "totalerrs"))]
    total_errs: u64,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Status {
    state: String,
    msg: String,
}

impl HttpCall for ObserveRequest {
    const METHOD: Method = Method::POST;

    fn encode(&self) -> Payload {
        Payload::Json(json::to_vec(&Events { events: self.events.iter().map(encode_event).collect() }))
    }

    fn decode(body: &[u8]) -> Result<Self::Reply, CallError> {
        done(is_ok(body)?)
    }

    fn decode_request(body: &[u8], _: &[(String, String)]) -> Result<Self, String> {
        let Events { events } = json::request(body)?;
        Ok(Self { events: events.into_iter().map(decode_event).collect::<Result<_, _>>()? })
    }

    fn encode_reply((): Self::Reply) -> (StatusCode, Vec<u8>) {
        answer(&Verdict { ok: true })
    }
}

fn encode_event(event: &observer::Event) -> Event {
    let (r#type, stats, status) = match &event.detail {
        EventDetail::Stats(stats) => {
            let stats = Stats {
                total_conns: stats.total_connections,
                current_conns: stats.current_connections,
                input_bytes: stats.input_bytes,
                output_bytes: stats.output_bytes,
                total_errs: stats.total_errors,
            };
            ("stats", Some(stats), None)
        }
        EventDetail::Status(status) => {
            ("status", None, Some(Status { state: status.state.word(), msg: status.message.clone() }))
        }
    };
    Event {
        kind: event.source.word(),
        service: event.service.clone(),
        client: text(&event.client_id),
        r#type: r#type.into(),
        stats,
        status,
    }
}

fn decode_event(event: Event) -> Result<observer::Event, String> {
    let stats = event.stats.map(|stats| observer::Stats {
        total_connections: stats.total_conns,
        current_connections: stats.current_conns,
        input_bytes: stats.input_bytes,
        output_bytes: stats.output_bytes,
        total_errors: stats.total_errs,
    });
    let status = event.status.as_ref().map(|status| (status.state.as_str(), status.msg.clone()));
    Ok(observer::Event {
        source: Word::read(&event.kind)?,
        service: event.service,
        client_id: known(event.client),
        detail: detail(&event.r#type, stats, status)?,
    })
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Rewritten {
    ok: bool,
    data: Option<Base64>,
}

impl HttpCall for RewriteRequest {
    const METHOD: Method = Method::POST;

    fn encode(&self) -> Payload {
        Data::encode((!self.data.is_empty()).then_some(&self.data), &self.metadata)
    }

    fn decode(body: &[u8]) -> Result<Self::Reply, CallError> {
        let Rewritten { ok, data } = json::reply(body)?;
        Ok(data.filter(|_| ok).map(|data| data.0))
    }

    fn decode_request(body: &[u8], _: &[(String, String)]) -> Result<Self, String> {
        let (data, metadata) = Data::decode(body)?;
        Ok(Self { data, metadata })
    }

    fn encode_reply(reply: Self::Reply) -> (StatusCode, Vec<u8>) {
        answer(&Rewritten { ok: true, data: reply.map(Base64) })
    }

    /// Unchanged, as over gRPC.
    fn failure_reply() -> Option<Vec<u8>> {
        Some(json::to_vec(&Rewritten { ok: false, data: None }))
    }
}
