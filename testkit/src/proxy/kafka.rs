//! What clients of Kafka say: who they are, and requests that a broker may refuse.

use super::Network;
use std::io::{ErrorKind, Result};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The number of the request that brings records, and its versions that are known here.
const PRODUCE: [u8; 2] = [0, 0];
const VERSIONS: std::ops::RangeInclusive<u16> = 9..=10;
const NOT_LEADER_OR_FOLLOWER: u8 = 6;

/// What a client says first, and the id in it.
pub(super) async fn introduction(client: &mut TcpStream) -> Result<(Vec<u8>, String)> {
    // Length, API key, its version, a number for the answer, and the length of the client's id.
    let mut read = vec![0; 14];
    client.read_exact(&mut read).await?;
    let mut id = vec![0; usize::from(u16::from_be_bytes([read[12], read[13]]))];
    client.read_exact(&mut id).await?;
    read.extend_from_slice(&id);
    Ok((read, String::from_utf8_lossy(&id).into_owned()))
}

/// Carries requests and answers, each as a whole, so that a request can be answered here.
pub(super) async fn carry(
    client: &mut TcpStream,
    broker: TcpStream,
    (introduction, id): (&[u8], &str),
    network: &Mutex<Network>,
) -> Result<()> {
    let (from_client, to_client) = client.split();
    let (mut from_broker, mut to_broker) = broker.into_split();
    let to_client = tokio::sync::Mutex::new(to_client);
    let said = network.lock().unwrap().said.clone();
    let requests = async {
        let mut from_client = introduction.chain(from_client);
        while let Some(request) = frame(&mut from_client).await? {
            let refused = request[4..].starts_with(&PRODUCE) && network.lock().unwrap().refuses(id);
            if refused {
                let refusal = refusal(&request[4..]).ok_or(ErrorKind::InvalidData)?;
                to_client.lock().await.write_all(&refusal).await?;
            } else {
                to_broker.write_all(&request).await?;
            }
        }
        to_broker.shutdown().await
    };
    let answers = async {
        while let Some(answer) = frame(&mut from_broker).await? {
            said.fetch_add(answer.len() as u64, Ordering::Relaxed);
            to_client.lock().await.write_all(&answer).await?;
        }
        to_client.lock().await.shutdown().await
    };
    tokio::try_join!(requests, answers).map(drop)
}

/// A length, and what has it; nothing at the end.
async fn frame(from: &mut (impl AsyncRead + Unpin)) -> Result<Option<Vec<u8>>> {
    let length = match from.read_u32().await {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        length => length?,
    };
    let mut frame = length.to_be_bytes().to_vec();
    let read = from.take(length.into()).read_to_end(&mut frame).await?;
    Ok((read == length as usize).then_some(frame))
}

/// What a broker answers that does not lead the one partition to which `request` brings records.
fn refusal(request: &[u8]) -> Option<Vec<u8>> {
    let version = u16::from_be_bytes(request.get(2..4)?.try_into().ok()?);
    assert!(VERSIONS.contains(&version), "records come in a request of version {version}");
    let number = request.get(4..8)?;
    let mut rest = request.get(8..)?;
    let mut take = |length: usize| rest.split_off(..length);
    let id = u16::from_be_bytes(take(2)?.try_into().ok()?);
    take(id.into())?;
    let tags = take(1)?;
    let transaction = short_length(&mut take)?;
    take(transaction)?;
    // How many replicas are waited for, how long, and that there is one topic.
    take(2 + 4 + 1)?;
    let topic = short_length(&mut take)?;
    let topic = take(topic)?;
    take(1)?;
    let partition = take(4)?;
    let name = [&[u8::try_from(topic.len() + 1).ok()?][..], topic].concat();
    // No offset and no times; no errors of single records, and no text.
    let said = [partition, &[0, NOT_LEADER_OR_FOLLOWER], &[0xff; 16], &[0xff; 8], &[1, 0], tags].concat();
    let body = [number, tags, &[2], &name, &[2], &said, tags, &[0; 4], tags].concat();
    Some([&u32::try_from(body.len()).ok()?.to_be_bytes()[..], &body].concat())
}

/// The length of a short text: less than 127 bytes.
fn short_length<'a>(take: &mut impl FnMut(usize) -> Option<&'a [u8]>) -> Option<usize> {
    let length = take(1)?[0];
    assert!(length < 0x80, "a text is too long to be known here");
    Some(usize::from(length).saturating_sub(1))
}
