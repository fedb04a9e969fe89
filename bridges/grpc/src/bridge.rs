//! [`GrpcBridge`]: the transport of all calls.

use std::sync::Arc;
use std::time::Duration;

use drawspan_bridge_transport::{Connector, Target, TlsError, TlsSettings};
use drawspan_wit::{CallError, ErrorKind, Plugin, chain};
use http::Uri;
use http::uri::PathAndQuery;
use tonic::metadata::{AsciiMetadataValue, MetadataValue};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::GrpcCall;
use crate::channel::Channel;

/// How to reach a gRPC plugin server.
#[derive(Clone, Debug)]
pub struct GrpcSettings {
    /// Where it listens.
    pub target: Target,
    /// Present: TLS, with `h2` selected by the server.
    pub tls: Option<TlsSettings>,
    /// Sent as metadata `token` with every call; visible ASCII.
    pub token: Option<String>,
    /// Told to the server as the call's deadline (`grpc-timeout`).
    pub timeout: Duration,
    /// The limit of one attempt to connect.
    pub connect_timeout: Duration,
    /// The largest reply accepted, in bytes.
    pub max_reply: usize,
}

/// Why a gRPC bridge can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token can't be sent.
    #[error("the token has characters other than visible ASCII")]
    Token,
}

/// Answers calls by asking a gRPC plugin server. Connects when first asked, and again when the connection was lost.
pub struct GrpcBridge {
    channel: Channel,
    origin: Uri,
    token: Option<AsciiMetadataValue>,
    timeout: Duration,
    max_reply: usize,
}

impl GrpcBridge {
    /// Does not connect.
    ///
    /// # Errors
    /// When TLS can't be set up or the token can't be sent.
    pub fn new(settings: GrpcSettings) -> Result<Self, GrpcError> {
        let GrpcSettings { target, tls, token, timeout, connect_timeout, max_reply } = settings;
        let token = token.map(|token| {
            MetadataValue::try_from(token).map(|mut value| {
                value.set_sensitive(true);
                value
            })
        });
        Ok(Self {
            channel: Channel::new(Connector::new(target.clone(), tls.as_ref(), b"h2", true, connect_timeout)?),
            origin: origin(&target, tls.as_ref()),
            token: token.transpose().map_err(|_| GrpcError::Token)?,
            timeout,
            max_reply,
        })
    }
}

/// What becomes `:scheme` and `:authority`: `tls.serverName`, else the target.
fn origin(target: &Target, tls: Option<&TlsSettings>) -> Uri {
    let authority = match (tls.and_then(|tls| tls.server_name.as_deref()), target) {
        (Some(name), _) => name.to_owned(),
        (None, Target::Tcp(..)) => target.to_string(),
        (None, Target::Unix(_)) => "localhost".to_owned(),
    };
    let uri = |authority| {
        let scheme = if tls.is_some() { "https" } else { "http" };
        Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build()
    };
    // A host that is no URI authority can't be resolved either; the connection says so better than we could here.
    uri(authority.as_str()).or_else(|_| uri("localhost")).unwrap_or_default()
}

impl<C: GrpcCall> Plugin<C> for GrpcBridge {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        let channel = self.channel.ready().await?;
        let mut request = Request::new(call.encode());
        request.set_timeout(self.timeout);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        let mut client =
            tonic::client::Grpc::with_origin(channel, self.origin.clone()).max_decoding_message_size(self.max_reply);
        client.ready().await.map_err(|error| lost(&error))?;
        let codec = ProstCodec::<C::Request, C::Response>::default();
        let reply = client
            .unary(request, PathAndQuery::from_static(C::PATH), codec)
            .await
            .map_err(|status| self.failure(&status))?;
        C::decode(reply.into_inner())
    }
}

/// The connection broke under a call. Not `Unavailable`: the call itself may have brought the server down.
fn lost(error: &(dyn std::error::Error + 'static)) -> CallError {
    CallError::new(ErrorKind::BadReply, format!("connection lost: {}", chain(error)))
}

impl GrpcBridge {
    /// A status made here carries its source or one of tonic's own messages; any other came from the server.
    fn failure(&self, status: &Status) -> CallError {
        if let Some(source) = std::error::Error::source(status) {
            return lost(source);
        }
        let kind = match status.code() {
            Code::DeadlineExceeded => ErrorKind::Deadline,
            Code::OutOfRange if status.message().contains("decoded message length too large") => {
                let reason = format!("the reply is larger than {} bytes (maxReply)", self.max_reply);
                return CallError::new(ErrorKind::BadReply, reason);
            }
            _ => ErrorKind::Refused,
        };
        let message = if status.message().is_empty() { String::new() } else { format!(": {}", status.message()) };
        CallError::new(kind, format!("the server answered {:?}{message}", status.code()))
    }
}
