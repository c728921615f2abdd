//! A name server that answers as the test says.

use crate::port::free_address;
use async_trait::async_trait;
use hickory_proto::op::{Metadata, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};

/// What is said of every name.
#[derive(Debug, Clone)]
pub enum Says {
    /// These addresses, for so many seconds; of a family without any, that the name has none.
    Addresses(Vec<IpAddr>, u32),
    /// There is no such name.
    Unknown,
    /// The server has failed.
    Failure,
    /// Nothing at all.
    Silence,
    /// These addresses of IPv4, for so many seconds; to questions for the other family nothing.
    Half(Vec<IpAddr>, u32),
}

/// A name server on a port of its own, over UDP and TCP.
pub struct NameServer {
    /// Where it is.
    pub address: SocketAddr,
    answers: Answers,
    _server: Server<Answers>,
}

#[derive(Clone)]
struct Answers {
    says: Arc<Mutex<Says>>,
    asked: Arc<AtomicUsize>,
}

impl NameServer {
    /// A server that says this until it is told otherwise.
    pub async fn saying(says: Says) -> Self {
        let answers = Answers { says: Arc::new(Mutex::new(says)), asked: Arc::default() };
        let mut server = Server::new(answers.clone());
        let address = free_address();
        server.register_socket(UdpSocket::bind(address).await.unwrap());
        server.register_listener(TcpListener::bind(address).await.unwrap(), Duration::from_secs(5), 16);
        Self { address, answers, _server: server }
    }

    /// From now on it says this.
    pub fn say(&self, says: Says) {
        *self.answers.says.lock().unwrap() = says;
    }

    /// How many questions for IPv4 addresses came, which is how often a name was asked for.
    pub fn asked(&self) -> usize {
        self.answers.asked.load(Ordering::SeqCst)
    }
}

impl std::fmt::Debug for NameServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NameServer").field("address", &self.address).finish_non_exhaustive()
    }
}

#[async_trait]
impl RequestHandler for Answers {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut response: R) -> ResponseInfo {
        let question = request.request_info().expect("one question").query.clone();
        let family = question.query_type();
        let says = self.says.lock().unwrap().clone();
        if family == RecordType::A {
            self.asked.fetch_add(1, Ordering::SeqCst);
        }
        let (code, addresses, ttl) = match says {
            Says::Addresses(addresses, ttl) => (ResponseCode::NoError, addresses, ttl),
            Says::Half(addresses, ttl) if family == RecordType::A => (ResponseCode::NoError, addresses, ttl),
            Says::Unknown => (ResponseCode::NXDomain, Vec::new(), 0),
            Says::Failure => (ResponseCode::ServFail, Vec::new(), 0),
            Says::Silence | Says::Half(..) => std::future::pending().await,
        };
        let name = question.original().name().clone();
        let records: Vec<Record> = addresses
            .into_iter()
            .map(|address| Record::from_rdata(name.clone(), ttl, RData::from(address)))
            .filter(|record| record.record_type() == family)
            .collect();
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = code;
        let message = MessageResponseBuilder::from_message_request(request);
        let none = || std::iter::empty::<&Record>();
        response.send_response(message.build(metadata, records.iter(), none(), none(), none())).await.unwrap()
    }
}
