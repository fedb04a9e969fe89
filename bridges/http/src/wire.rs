//! The cells: one per call, in the order of the WIT package.

use drawspan_wit::Call;
use drawspan_wit::authenticator::{AuthenticationRequest, Identity};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::json;

/// What a request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A JSON body.
    Json(Vec<u8>),
    /// Parameters that join those of the URL; no body.
    Query(Vec<(&'static str, String)>),
}

/// What HTTP needs to know of a call.
pub trait HttpCall: Call {
    /// The verb.
    const METHOD: Method;

    /// The request, for a server.
    fn encode(&self) -> Payload;

    /// The body of a server's reply, whose status was 200.
    ///
    /// # Errors
    /// A reason, when it isn't the JSON that it should be.
    fn decode(body: &[u8]) -> Result<Self::Reply, String>;

    /// What a status other than 200 means, if it is an answer and not a failure.
    fn decode_status(_status: StatusCode) -> Option<Self::Reply> {
        None
    }

    /// The reply to a call that needn't be sent.
    fn unsent(&self) -> Option<Self::Reply> {
        None
    }

    /// The request of a client: its body, and the parameters of its URL.
    ///
    /// # Errors
    /// A reason; the client is told that its request is invalid.
    fn decode_request(body: &[u8], query: &[(String, String)]) -> Result<Self, String>;

    /// Status and JSON body of the reply, for a client.
    fn encode_reply(reply: Self::Reply) -> (StatusCode, Vec<u8>);
}

impl HttpCall for AuthenticationRequest {
    const METHOD: Method = Method::POST;

    fn encode(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            service: &'a str,
            username: &'a str,
            password: &'a str,
            client: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            client_cn: &'a str,
            #[serde(skip_serializing_if = "<[String]>::is_empty")]
            client_san: &'a [String],
            #[serde(skip_serializing_if = "str::is_empty")]
            client_cert_fingerprint: &'a str,
        }
        let certificate = self.certificate.as_ref();
        json::to_vec(&Body {
            service: &self.service,
            username: &self.username,
            password: &self.password,
            client: self.client_address.as_deref().unwrap_or_default(),
            client_cn: certificate.map_or("", |c| &c.common_name),
            client_san: certificate.map_or(&[], |c| &c.alternative_names),
            client_cert_fingerprint: certificate.map_or("", |c| &c.fingerprint),
        })
    }

    fn decode(body: &[u8]) -> Result<Self::Reply, String> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Reply {
            ok: bool,
            id: String,
        }
        let reply: Reply = json::from_slice(body)?;
        Ok(reply.ok.then_some(Identity { client_id: reply.id }))
    }
}

#[cfg(test)]
mod tests {
    use drawspan_wit::authenticator::ClientCertificate;

    use super::*;

    #[test]
    fn authenticate_is_written_as_gost_writes_it() {
        let mut request = AuthenticationRequest {
            username: "u".into(),
            password: "p".into(),
            client_address: Some("127.0.0.1:41806".into()),
            service: "s-http".into(),
            certificate: None,
        };
        let body = |request: &AuthenticationRequest| String::from_utf8(request.encode()).unwrap();
        assert_eq!(body(&request), r#"{"service":"s-http","username":"u","password":"p","client":"127.0.0.1:41806"}"#);
        request.client_address = None;
        request.certificate = Some(ClientCertificate {
            common_name: "cn".into(),
            alternative_names: vec!["a.test".into()],
            fingerprint: String::new(),
        });
        assert_eq!(
            body(&request),
            r#"{"service":"s-http","username":"u","password":"p","client":"","clientCn":"cn","clientSan":["a.test"]}"#
        );
    }

    #[test]
    fn authenticate_is_read_as_gost_reads_it() {
        let id = |body: &str| AuthenticationRequest::decode(body.as_bytes()).map(|r| r.map(|i| i.client_id));
        for (body, reply) in [
            (r#"{"ok":true,"id":"x"}"#, Some("x")),
            (r#"{"OK":true,"Id":"x","more":[1]} trailing"#, Some("x")),
            (r#"{"ok":true}"#, Some("")),
            (r#"{"ok":true,"id":null}"#, Some("")),
            (r#"{"ok":false,"id":"x"}"#, None),
            (r#"{"id":"x"}"#, None),
            ("{}", None),
            ("null", None),
        ] {
            assert_eq!(id(body), Ok(reply.map(Into::into)), "{body}");
        }
        for body in
            ["", "ok", "[]", "true", r#"{"ok":"true"}"#, r#"{"ok":1}"#, r#"{"ok":true"#, r#"{"ok":true,"id":7}"#]
        {
            assert!(id(body).is_err(), "{body}");
        }
    }
}
