//! [`Dns`]: a DNS server.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::AbortHandle;

use crate::serve::{BoxStream, accept_tls, loopback};
use crate::{Server, Tls};

/// What a server answers to a question.
#[derive(Clone, Debug)]
pub enum DnsAnswer {
    /// Those of these addresses that are of the type asked for, to be kept for so many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// The same, but over UDP only that it is too long.
    Long(Vec<IpAddr>),
    /// The same, after two answers that aren't for the question.
    Late(Vec<IpAddr>),
    /// That the name doesn't exist.
    Unknown,
    /// That it failed.
    Failure,
    /// Nothing.
    Silence,
}

/// A running DNS server for all names.
pub struct Dns {
    addr: SocketAddr,
    state: Arc<State>,
    _server: Server,
    udp: Option<AbortHandle>,
}

struct State {
    answer: Mutex<DnsAnswer>,
    questions: Mutex<Vec<Message>>,
}

impl Dns {
    /// Over UDP and TCP.
    pub async fn start(answer: DnsAnswer) -> Self {
        let state = State::new(answer);
        // A port that is free for one need not be free for the other.
        let (udp, addr) = loop {
            let udp = UdpSocket::bind(loopback()).await.unwrap();
            let addr = udp.local_addr().unwrap();
            if TcpListener::bind(addr).await.is_ok() {
                break (udp, addr);
            }
        };
        let shared = Arc::clone(&state);
        let udp = tokio::spawn(async move { shared.datagrams(udp).await }).abort_handle();
        let server = state.serve(addr, None).await;
        Self { addr, state, _server: server, udp: Some(udp) }
    }

    /// Over TLS.
    pub async fn start_tls(tls: impl Into<Tls>, answer: DnsAnswer) -> Self {
        let state = State::new(answer);
        let server = state.serve(loopback(), tls.into()).await;
        Self { addr: server.addr(), state, _server: server, udp: None }
    }

    /// Over HTTPS, at `/dns-query`.
    pub async fn start_https(tls: impl Into<Tls>, answer: DnsAnswer) -> Self {
        let (state, tls) = (State::new(answer), tls.into());
        let shared = Arc::clone(&state);
        let server = Server::tcp(loopback(), move |stream| {
            let (state, tls) = (Arc::clone(&shared), tls.clone());
            async move {
                let Some(stream) = accept_tls(stream, tls).await else { return };
                let service = service_fn(|request| state.post(request));
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
        })
        .await;
        Self { addr: server.addr(), state, _server: server, udp: None }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on it answers this.
    pub fn answer(&self, answer: DnsAnswer) {
        *self.state.answer.lock().unwrap() = answer;
    }

    /// The questions so far.
    #[must_use]
    pub fn questions(&self) -> Vec<Message> {
        self.state.questions.lock().unwrap().clone()
    }

    /// How often it was asked for addresses of IPv4 and of IPv6.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let questions = self.questions();
        let count = |wanted| questions.iter().filter(|question| question.queries[0].query_type == wanted).count();
        (count(RecordType::A), count(RecordType::AAAA))
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        if let Some(udp) = &self.udp {
            udp.abort();
        }
    }
}

impl State {
    fn new(answer: DnsAnswer) -> Arc<Self> {
        Arc::new(Self { answer: Mutex::new(answer), questions: Mutex::default() })
    }

    async fn serve(self: &Arc<Self>, addr: SocketAddr, tls: Tls) -> Server {
        let state = Arc::clone(self);
        Server::tcp(addr, move |stream| {
            let (state, tls) = (Arc::clone(&state), tls.clone());
            async move {
                if let Some(stream) = accept_tls(stream, tls).await {
                    state.stream(stream).await;
                }
            }
        })
        .await
    }

    async fn datagrams(&self, socket: UdpSocket) {
        let mut buffer = [0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            for answer in self.answers(&buffer[..length], true) {
                socket.send_to(&answer, client).await.unwrap();
            }
        }
    }

    async fn stream(&self, mut stream: BoxStream) {
        while let Ok(length) = stream.read_u16().await {
            let mut question = vec![0; length.into()];
            stream.read_exact(&mut question).await.unwrap();
            for answer in self.answers(&question, false) {
                stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
                stream.write_all(&answer).await.unwrap();
                stream.flush().await.unwrap();
            }
        }
    }

    async fn post(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let is_asked = request.method() == Method::POST
            && request.uri().path() == "/dns-query"
            && request.headers()["content-type"] == "application/dns-message";
        let question = request.into_body().collect().await.unwrap().to_bytes();
        let answer = self.answers(&question, false).pop().filter(|_| is_asked);
        let status = if answer.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let mut response = Response::new(Full::new(answer.unwrap_or_default().into()));
        *response.status_mut() = status;
        Ok(response)
    }

    fn answers(&self, question: &[u8], is_datagram: bool) -> Vec<Vec<u8>> {
        let question = Message::from_vec(question).unwrap();
        self.questions.lock().unwrap().push(question.clone());
        let mut reply = question.clone().into_response();
        let (addresses, ttl) = match self.answer.lock().unwrap().clone() {
            DnsAnswer::Addresses(addresses, ttl) => (addresses, ttl),
            DnsAnswer::Long(_) if is_datagram => {
                reply.metadata.truncation = true;
                (Vec::new(), 0)
            }
            DnsAnswer::Long(addresses) | DnsAnswer::Late(addresses) => (addresses, 60),
            DnsAnswer::Unknown => {
                reply.metadata.response_code = ResponseCode::NXDomain;
                (Vec::new(), 0)
            }
            DnsAnswer::Failure => {
                reply.metadata.response_code = ResponseCode::ServFail;
                (Vec::new(), 0)
            }
            DnsAnswer::Silence => return Vec::new(),
        };
        let query = &question.queries[0];
        let records = addresses.into_iter().map(|address| match address {
            IpAddr::V4(ip) => RData::A(ip.into()),
            IpAddr::V6(ip) => RData::AAAA(ip.into()),
        });
        let records = records.filter(|data| data.record_type() == query.query_type);
        reply.add_answers(records.map(|data| Record::from_rdata(query.name.clone(), ttl, data)));
        let mut replies = vec![reply.to_vec().unwrap()];
        if let DnsAnswer::Late(_) = *self.answer.lock().unwrap() {
            let mut other = reply.clone();
            other.metadata.id ^= 1;
            other.answers.clear();
            replies.insert(0, other.to_vec().unwrap());
            replies.insert(0, b"nonsense".to_vec());
        }
        replies
    }
}
