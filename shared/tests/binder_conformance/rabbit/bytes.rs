//! A client that knows no text: its names are bytes, which no library for Rust sends and the broker takes.

use super::broker::Broker;
use crate::lab::{World, thing};
use crate::service::Setup;
use testkit::SOON;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const METHOD: u8 = 1;
const CONTENT_HEADER: u8 = 2;
const BODY: u8 = 3;

struct Client(TcpStream);

impl Client {
    /// A connection with one channel.
    async fn connect(broker: &Broker) -> Self {
        let url = broker.url();
        let mut socket = TcpStream::connect((url.host_str().unwrap(), url.port().unwrap_or(5672))).await.unwrap();
        socket.write_all(b"AMQP\0\0\x09\x01").await.unwrap();
        let mut client = Self(socket);
        client.answered([10, 10]).await;
        let login = format!("\0{}\0{}", url.username(), url.password().unwrap());
        let login = [&u32::try_from(login.len()).unwrap().to_be_bytes()[..], login.as_bytes()].concat();
        client
            .say(0, METHOD, &[&method(10, 11)[..], &[0; 4], &short(b"PLAIN"), &login, &short(b"en_US")].concat())
            .await;
        client.answered([10, 30]).await;
        // One channel, frames of 131,072 bytes, no heartbeats.
        client.say(0, METHOD, &[&method(10, 31)[..], &[0, 1, 0, 2, 0, 0, 0, 0]].concat()).await;
        client.say(0, METHOD, &[&method(10, 40)[..], &short(broker.vhost().as_bytes()), &[0, 0]].concat()).await;
        client.answered([10, 41]).await;
        client.say(1, METHOD, &[&method(20, 10)[..], &[0]].concat()).await;
        client.answered([20, 11]).await;
        client
    }

    /// Publishes an event under a routing key and with an id, a type and the name of a header.
    async fn publish(&mut self, exchange: &[u8], key: &[u8], name: &[u8], body: &[u8]) {
        let way = [&method(60, 40)[..], &[0, 0], &short(exchange), &short(key), &[0]].concat();
        self.say(1, METHOD, &way).await;
        let length = (body.len() as u64).to_be_bytes();
        let header = [&short(name)[..], b"V"].concat();
        let header = [&u32::try_from(header.len()).unwrap().to_be_bytes()[..], &header].concat();
        // Content type, headers, message id and type.
        let properties =
            [&[0b1010_0000, 0b1010_0000][..], &short(b"application/json"), &header, &short(name), &short(name)];
        self.say(1, CONTENT_HEADER, &[&[0, 60, 0, 0][..], &length, &properties.concat()].concat()).await;
        self.say(1, BODY, body).await;
    }

    /// Returns when the broker has taken all that was said.
    async fn close(mut self) {
        self.say(1, METHOD, &[&method(20, 40)[..], &[0, 0, 0, 0, 0, 0, 0]].concat()).await;
        self.answered([20, 41]).await;
    }

    async fn say(&mut self, channel: u8, kind: u8, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        self.0.write_all(&[&[kind, 0, channel][..], &length, payload, &[0xce]].concat()).await.unwrap();
    }

    /// Waits for the method of this class and number.
    async fn answered(&mut self, expected: [u8; 2]) {
        let read = async {
            let mut start = [0; 7];
            self.0.read_exact(&mut start).await.unwrap();
            let mut frame = vec![0; u32::from_be_bytes(start[3..].try_into().unwrap()) as usize + 1];
            self.0.read_exact(&mut frame).await.unwrap();
            frame
        };
        let frame = tokio::time::timeout(SOON, read).await.expect("an answer");
        assert_eq!([frame[1], frame[3]], expected, "{}", String::from_utf8_lossy(&frame));
    }
}

fn method(class: u8, number: u8) -> [u8; 4] {
    [0, class, 0, number]
}

fn short(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
}

pub(crate) async fn names_that_are_no_text_end_nobody(world: &World) {
    let service = world.start(Setup::default()).await;
    let mut client = Client::connect(&Broker::of(world)).await;
    // Latin-1, half a character, and none at all.
    for (seq, name) in [&b"Gr\xf6\xdfe"[..], b"\xe2\x82", b"\xff", b"\xfe"].into_iter().enumerate() {
        let key = [b"things-", name].concat();
        client.publish(b"things", &key, name, &thing(1, i64::try_from(seq).unwrap()).body).await;
    }
    client.publish(b"things", b"\xff", b"bad \xff", b"{").await;
    client.close().await;
    world.producer(1).await.send(vec![thing(2, 1)]).await.unwrap();
    world.until_applied(&["1-0", "1-1", "1-2", "1-3", "2-1"]).await;
    let letters = world.until_letters(1).await;
    assert_eq!((letters[0].id.as_str(), letters[0].kind.as_str()), ("bad \u{7f}", "invalid"));
    world.until_settled().await;
    service.stop().await;
}
