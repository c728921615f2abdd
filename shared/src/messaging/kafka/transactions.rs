//! Transactions, one after the other: what waits is sent in one, and in parts where the broker refuses some of it.

use super::link::{Link, State, client_log};
use super::publisher::{Request, Unsent};
use super::record::Record;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::debug;
use uuid::Uuid;

/// How long a transaction may take. Longer, and readers would wait too long for a producer that died in one.
const TRANSACTION: Duration = Duration::from_secs(5);
/// How long the broker may take for the first one, when it may still have to end one of before.
const FIRST: Duration = Duration::from_secs(10);
/// How long it waits at once while a transaction is taken back.
const ABORT: Duration = Duration::from_millis(100);
/// How often the client is woken to look whether it can send.
const WAKE: Duration = Duration::from_millis(1);

/// One transaction after the other, each of all that waits.
pub(super) struct Transactions {
    link: Link,
    /// They take turns: for some milliseconds after a commit the broker has still to finish it, and lets its producer wait.
    sessions: [Session; 2],
    turn: usize,
}

/// A producer that is made when it is needed, and made anew when it has failed.
struct Session {
    /// Nobody else may have it: who takes it ends the transactions of who had it.
    transactional_id: String,
    producer: Option<BaseProducer<Reports>>,
}

/// What came of the records of one transaction: of whose request each failed one was, and why.
#[derive(Default)]
struct Reports(Mutex<Vec<(usize, RDKafkaErrorCode)>>);

impl Reports {
    fn note(&self, request: usize, code: RDKafkaErrorCode) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((request, code));
    }

    fn take(&self) -> Vec<(usize, RDKafkaErrorCode)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn any(&self) -> bool {
        !self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "a publisher has a problem");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, delivered: &DeliveryResult<'_>, request: usize) {
        match delivered {
            // The client takes a batch that was refused for sent when it sees the next one taken: but a broker that has just
            // opened a partition may refuse the one and take the other. What was only inferred has no offset.
            Ok(taken) if taken.offset() < 0 => self.note(request, RDKafkaErrorCode::OutOfOrderSequenceNumber),
            Ok(_) => {}
            Err((error, _)) => self.note(request, error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)),
        }
    }
}

/// What became of a transaction.
enum Ended {
    Committed,
    /// Nothing of it is there; these requests are to blame, or any of them where there are none.
    Aborted(BTreeSet<usize>, Unsent),
    /// It may or may not be there.
    Unknown(String),
}

impl Transactions {
    pub(super) fn new(link: Link) -> Self {
        let name = Uuid::new_v4().simple();
        let session = |number| Session { transactional_id: format!("landscape-{name}-{number}"), producer: None };
        Self { link, sessions: [session(0), session(1)], turn: 0 }
    }

    /// Sends `window` and answers all of it.
    pub(super) fn publish(&mut self, window: Vec<Request>) {
        self.send(window, true);
    }

    /// Likewise; what was taken back without a fault of anybody's is sent `again`, once.
    fn send(&mut self, mut window: Vec<Request>, again: bool) {
        // Who does not wait any more was promised nothing.
        window.retain(|request| !request.answer.is_closed());
        if window.is_empty() {
            return;
        }
        if let State::Away(reason) = self.link.state() {
            return answer(window, &Err(Unsent::Later(reason.to_string())));
        }
        let session = &mut self.sessions[self.turn];
        let ended = session.transact(&self.link, &window);
        if matches!(ended, Ok(Ended::Committed)) {
            self.turn = (self.turn + 1) % self.sessions.len();
        } else {
            // Made anew before anything else is sent, it ends what it left open. After a mere abort too: the client would
            // go on behind the numbers of what was refused, and the broker miss those.
            session.producer = None;
        }
        match ended {
            Ok(Ended::Committed) => answer(window, &Ok(())),
            Ok(Ended::Aborted(blamed, why)) if again && blamed.is_empty() => {
                debug!(?why, of = window.len(), "a transaction is sent again");
                self.send(window, false);
            }
            Ok(Ended::Aborted(blamed, why)) if window.len() > 1 => {
                debug!(?why, blamed = blamed.len(), of = window.len(), "a transaction is sent again in parts");
                for part in parts(window, &blamed) {
                    self.send(part, again);
                }
            }
            Ok(Ended::Aborted(_, why)) => answer(window, &Err(why)),
            Ok(Ended::Unknown(reason)) => answer(window, &Err(Unsent::Later(reason))),
            Err(error) => answer(window, &Err(Unsent::Later(error.to_string()))),
        }
    }
}

impl Session {
    fn open(&self, link: &Link) -> KafkaResult<BaseProducer<Reports>> {
        let mut config = link.clients().client("publisher");
        config
            .set("transactional.id", &self.transactional_id)
            .set("transaction.timeout.ms", TRANSACTION.as_millis().to_string())
            .set("message.timeout.ms", TRANSACTION.as_millis().to_string())
            .set("acks", "all")
            .set("enable.idempotence", "true")
            // Whether a record is too large is for the broker to say.
            .set("message.max.bytes", "67108864")
            // Records gather while their partitions are added to the transaction; more would be sat out.
            .set("linger.ms", "0")
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "131072");
        let producer: BaseProducer<Reports> = config.create_with_context(Reports::default())?;
        producer.init_transactions(FIRST)?;
        Ok(producer)
    }

    /// Sends all of `window` in one transaction.
    // In a thread of its own.
    #[expect(clippy::disallowed_methods)]
    fn transact(&mut self, link: &Link, window: &[Request]) -> KafkaResult<Ended> {
        let opened = match self.producer.take() {
            Some(producer) => producer,
            None => self.open(link)?,
        };
        let session = self.producer.insert(opened);
        let began = Instant::now();
        session.begin_transaction()?;
        for (at, request) in window.iter().enumerate() {
            for record in &request.records {
                if let Err(code) = enqueue(session, at, record) {
                    session.context().note(at, code);
                }
            }
        }
        if session.context().any() {
            return abort(session);
        }
        let deadline = began + TRANSACTION;
        // A commit would send and wait too, but only wake the client once; and when that has added the partitions to the
        // transaction, it has gone to sleep for as much as a tenth of a second.
        while session.flush(Duration::ZERO).is_err() {
            session.poll(Duration::ZERO);
            if session.context().any() {
                break;
            }
            if Instant::now() > deadline {
                return Ok(Ended::Unknown("the broker has not taken the records in time".to_owned()));
            }
            std::thread::sleep(WAKE);
        }
        if session.context().any() {
            return abort(session);
        }
        loop {
            match session.commit_transaction(TRANSACTION) {
                Ok(()) => break,
                Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => return abort(session),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {}
                Err(error) => return Ok(Ended::Unknown(error.to_string())),
            }
        }
        serve(session);
        let records = window.iter().map(|request| request.records.len()).sum::<usize>();
        debug!(requests = window.len(), records, took = ?began.elapsed(), "a transaction is committed");
        Ok(Ended::Committed)
    }
}

/// Takes the reports that are still there.
fn serve(session: &BaseProducer<Reports>) {
    let deadline = Instant::now() + TRANSACTION;
    while session.in_flight_count() > 0 && Instant::now() < deadline {
        session.poll(Duration::ZERO);
    }
}

/// Those that are good together, and then those that may not be. The broker refuses records in batches, so that a good
/// one may be among those that are blamed: only the one with the largest record, as the likely reason, goes by itself.
fn parts(mut window: Vec<Request>, blamed: &BTreeSet<usize>) -> [Vec<Request>; 2] {
    let largest =
        |request: &Request| request.records.iter().filter_map(|record| Some(record.body.as_ref()?.len())).max();
    match blamed.iter().copied().max_by_key(|at| largest(&window[*at])) {
        Some(suspect) => {
            let suspect = window.remove(suspect);
            [window, vec![suspect]]
        }
        None => {
            let rest = window.split_off(window.len() / 2);
            [window, rest]
        }
    }
}

fn enqueue(session: &BaseProducer<Reports>, request: usize, record: &Record) -> Result<(), RDKafkaErrorCode> {
    let Record { topic, partition, headers, body } = record;
    let mut next: BaseRecord<'_, (), [u8], usize> = BaseRecord::with_opaque_to(topic, request).partition(*partition);
    next.payload = body.as_deref();
    // Kept, since it may have to be sent again.
    next.headers = Some(headers.clone());
    loop {
        match session.send(next) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                session.poll(Duration::from_millis(10));
                next = back;
            }
            Err((error, _)) => return Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)),
        }
    }
}

/// Takes a transaction back, and finds who is to blame.
fn abort(session: &BaseProducer<Reports>) -> KafkaResult<Ended> {
    let deadline = Instant::now() + TRANSACTION;
    loop {
        match session.abort_transaction(ABORT) {
            Ok(()) => break,
            // It waits for reports of what it takes back, which nobody takes meanwhile.
            Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {
                session.poll(Duration::ZERO);
            }
            Err(error) => return Err(error),
        }
    }
    serve(session);
    // Among them those that were taken back without a fault of theirs.
    let reports = session.context().take();
    let refused: BTreeSet<usize> =
        reports.iter().filter(|(_, code)| is_refused(*code)).map(|(request, _)| *request).collect();
    let first = reports.iter().find(|(_, code)| refused.is_empty() || is_refused(*code));
    let reason = first.map_or_else(|| "the transaction was aborted".to_owned(), |(_, code)| code.to_string());
    let why = if refused.is_empty() { Unsent::Later(reason) } else { Unsent::Refused(reason) };
    Ok(Ended::Aborted(refused, why))
}

/// Whether the broker will not take this record later either.
pub(super) fn is_refused(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::PolicyViolation
    )
}

fn answer(window: Vec<Request>, said: &Result<(), Unsent>) {
    for request in window {
        // Who has gone meanwhile is told nothing.
        let _ = request.answer.send(said.clone());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
