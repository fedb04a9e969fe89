//! Recorder, observer, rewriter.

use drawspan_bridge_gost::{Word, detail, done, from_metadata, known, text, to_metadata};
use drawspan_proto as proto;
use drawspan_wit::CallError;
use drawspan_wit::observer::{Event, EventDetail, ObserveRequest, Stats};
use drawspan_wit::recorder::WriteRequest;
use drawspan_wit::rewriter::RewriteRequest;

use super::GrpcCall;

impl GrpcCall for WriteRequest {
    type Request = proto::RecordRequest;
    type Response = proto::RecordReply;
    const PATH: &'static str = "/proto.Recorder/Record";

    fn encode(&self) -> Self::Request {
        proto::RecordRequest { data: self.data.clone(), metadata: to_metadata(&self.metadata) }
    }

    fn decode(reply: Self::Response) -> Result<Self::Reply, CallError> {
        done(reply.ok)
    }

    fn decode_request(request: Self::Request) -> Result<Self, String> {
        Ok(Self { data: request.data, metadata: from_metadata(request.metadata)? })
    }

    fn encode_reply((): Self::Reply) -> Self::Response {
        proto::RecordReply { ok: true }
    }
}

impl GrpcCall for ObserveRequest {
    type Request = proto::ObserveRequest;
    type Response = proto::ObserveReply;
    const PATH: &'static str = "/proto.Observer/Observe";

    fn encode(&self) -> Self::Request {
        proto::ObserveRequest { events: self.events.iter().map(encode_event).collect() }
    }

    fn decode(reply: Self::Response) -> Result<Self::Reply, CallError> {
        done(reply.ok)
    }

    fn decode_request(request: Self::Request) -> Result<Self, String> {
        Ok(Self { events: request.events.into_iter().map(decode_event).collect::<Result<_, _>>()? })
    }

    fn encode_reply((): Self::Reply) -> Self::Response {
        proto::ObserveReply { ok: true }
    }
}

fn encode_event(event: &Event) -> proto::Event {
    let (r#type, stats, status) = match &event.detail {
        EventDetail::Stats(stats) => {
            let stats = proto::Stats {
                total_conns: stats.total_connections,
                current_conns: stats.current_connections,
                input_bytes: stats.input_bytes,
                output_bytes: stats.output_bytes,
                total_errs: stats.total_errors,
            };
            ("stats", Some(stats), None)
        }
        EventDetail::Status(status) => {
            let status = proto::ServiceStatus { state: status.state.word(), msg: status.message.clone() };
            ("status", None, Some(status))
        }
    };
    proto::Event {
        kind: event.source.word(),
        service: event.service.clone(),
        client: text(&event.client_id),
        r#type: r#type.into(),
        stats,
        status,
    }
}

fn decode_event(event: proto::Event) -> Result<Event, String> {
    let stats = event.stats.map(|stats| Stats {
        total_connections: stats.total_conns,
        current_connections: stats.current_conns,
        input_bytes: stats.input_bytes,
        output_bytes: stats.output_bytes,
        total_errors: stats.total_errs,
    });
    let status = event.status.as_ref().map(|status| (status.state.as_str(), status.msg.clone()));
    Ok(Event {
        source: Word::read(&event.kind)?,
        service: event.service,
        client_id: known(event.client),
        detail: detail(&event.r#type, stats, status)?,
    })
}

impl GrpcCall for RewriteRequest {
    type Request = proto::RewriteRequest;
    type Response = proto::RewriteReply;
    const PATH: &'static str = "/proto.Rewriter/Rewrite";

    fn encode(&self) -> Self::Request {
        proto::RewriteRequest { data: self.data.clone(), metadata: to_metadata(&self.metadata) }
    }

    /// The empty body can't be said: absent data is no new body.
    fn decode(reply: Self::Response) -> Result<Self::Reply, CallError> {
        Ok((reply.ok && !reply.data.is_empty()).then_some(reply.data))
    }

    fn decode_request(request: Self::Request) -> Result<Self, String> {
        Ok(Self { data: request.data, metadata: from_metadata(request.metadata)? })
    }

    fn encode_reply(reply: Self::Reply) -> Self::Response {
        proto::RewriteReply { ok: true, data: reply.unwrap_or_default() }
    }

    /// GOST aborts the whole exchange at a status.
    fn failure_reply() -> Option<Self::Response> {
        Some(proto::RewriteReply { ok: false, data: Vec::new() })
    }
}
