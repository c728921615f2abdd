//! Events, failures, replays, drops and crashes in random order, with a look at the tables after each step: they must say
//! what the [`model`] says, and after a crash one of the things that it lets be.
//!
//! A step is polled so many times and then dropped: its transaction is rolled back, or committed with nobody told. SQLite
//! works on a thread of its own, so a seed has the same steps each time, and its crashes about the same places.

mod model;
mod service;

use super::{Subscription, Worker};
use crate::database::letters::wanted::{Unwanted, Wanted, one, parking};
use crate::database::letters::{self, Kind, summary};
use crate::messaging::event::Event;
use crate::messaging::{Consumer, Headers, Outgoing, Producer};
use model::{Answer, Key, Nature, Natures, Open, Request, Work};
use serde_json::{Value, json};
use service::{Effects, cut, place, run, service};
use sqlx::Row;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::Fuzz;
use tokio_util::sync::CancellationToken;

const KEYS: usize = 3;
const STEPS: usize = 12;
/// As many polls as a step never needs.
const ENOUGH: usize = usize::MAX;

/// A service on a log of its own, and one case after the other.
struct Lane {
    subscription: Arc<Subscription<Effects>>,
    producer: Box<dyn Producer>,
    consumer: Box<dyn Consumer>,
    worker: Option<Worker<Effects>>,
    natures: Arc<Mutex<Vec<Natures>>>,
    random: Fuzz,
    /// Each case has keys of its own: `KEYS` from this one on.
    from: i32,
    keys: Vec<Key>,
    /// What was sent last, where it may not be settled.
    last: Option<Outgoing>,
}

/// Says which case it is that fails.
struct Case(u64, u32);

impl Drop for Case {
    #[allow(clippy::print_stderr)]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, case {}", self.0, self.1);
        }
    }
}

/// What somebody asks for: of one key, or of all.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Of(usize, Request),
    All(Wanted),
}

impl Asked {
    fn of(self, place: usize) -> Option<Request> {
        match self {
            Self::Of(asked, request) => (asked == place).then_some(request),
            Self::All(wanted) => Some(Request::Parking(wanted)),
        }
    }
}

impl Lane {
    async fn open(folder: &Path) -> Self {
        let natures = Arc::default();
        let (subscription, producer, consumer) = service(folder, Arc::clone(&natures)).await;
        Self {
            subscription: Arc::new(subscription),
            producer,
            consumer,
            worker: None,
            natures,
            random: Fuzz::new(0),
            from: 0,
            keys: Vec::new(),
            last: None,
        }
    }

    async fn case(&mut self, seed: u64, number: u32) {
        let _case = Case(seed, number);
        self.random = Fuzz::new(seed ^ (u64::from(number) << 32));
        self.from = (number as usize * KEYS) as i32;
        self.keys = vec![Key::default(); KEYS];
        *self.natures.lock().unwrap() = vec![Natures::new(); KEYS];
        self.restart().await;
        for _ in 0..STEPS {
            match self.random.below(8) {
                0..4 => self.send().await,
                4 => self.change(),
                _ => {}
            }
            let work = [Work::Rest, Work::Take, Work::Repair][self.random.below(3)];
            let asked = self.random.one_in(2).then(|| self.asked());
            let crash = self.random.one_in(3);
            self.step(work, asked, crash).await;
        }
        self.end().await;
    }

    /// Events of one key, which fail or do not. Who is not told that they were taken sends them again.
    async fn send(&mut self) {
        let place = self.random.below(KEYS);
        let mut messages = Vec::new();
        for _ in 0..=self.random.below(4) {
            let nature = [Nature::Good, Nature::Good, Nature::Failing, Nature::Refused, Nature::Unreadable];
            let nature = nature[self.random.below(5)];
            let natures = &mut self.natures.lock().unwrap()[place];
            let number = natures.len() as i64 + 1;
            natures.insert(number, nature);
            self.keys[place].coming.push_back(number);
            let data = if nature == Nature::Unreadable { json!([number]) } else { json!({ "number": number }) };
            let event = Event::<Value>::Create { key: self.from + place as i32, data };
            messages.push(event.to_message("things", self.id(place, number), Headers::new()).unwrap());
        }
        self.last = messages.last().cloned();
        let polls = self.random.below(6);
        if cut(self.producer.send(messages.clone()), polls).await.is_none() {
            self.producer.send(messages).await.unwrap();
        }
    }

    /// Mends an event, or breaks it.
    fn change(&mut self) {
        let place = self.random.below(KEYS);
        let natures = &mut self.natures.lock().unwrap()[place];
        let nature = [Nature::Good, Nature::Good, Nature::Failing, Nature::Refused][self.random.below(4)];
        let number = self.random.below(natures.len() + 1) as i64;
        natures.entry(number).and_modify(|old| {
            if *old != Nature::Unreadable {
                *old = nature
            }
        });
    }

    fn asked(&mut self) -> Asked {
        let place = self.random.below(KEYS);
        let dropped = self.random.one_in(4);
        let many = if dropped { Wanted::Drop } else { Wanted::ReplayKey };
        match self.random.below(4) {
            0 => Asked::All(many),
            1 | 2 => Asked::Of(place, Request::Parking(many)),
            _ => {
                let number = 1 + self.random.below(self.natures.lock().unwrap()[place].len() + 1) as i64;
                Asked::Of(place, Request::One(number, if dropped { Wanted::Drop } else { Wanted::Replay }))
            }
        }
    }

    /// Lets the worker work and somebody ask at the same time; where it is to crash, each goes on as it may and is dropped.
    async fn step(&mut self, work: Work, asked: Option<Asked>, crash: bool) {
        let mut polls = |most| if crash { self.random.below(most) } else { ENOUGH };
        let (tail, request_ends) = (polls(40), polls(12));
        let head = self.random.below(30);
        let mut worker = self.worker.take().unwrap();
        let last = self.last.as_ref().map(|message| message.id.clone());
        let (worked, answered) = {
            let request = async {
                match asked {
                    Some(asked) => Some(self.request(asked).await),
                    None => None,
                }
            };
            let mut working = Box::pin(run(&mut worker, work, last.as_deref()));
            match cut(&mut working, head).await {
                Some(()) => (Some(()), cut(request, request_ends).await),
                // Handed over, so that it is dropped when it is cut: else it would hold what the request waits for.
                None => tokio::join!(cut(working, tail), cut(request, request_ends)),
            }
        };
        self.compare(work, worked.is_some(), asked, answered.flatten()).await;
        if worked.is_some() && work == Work::Take {
            self.last = None;
        }
        self.worker = Some(worker);
        if crash {
            self.restart().await;
        }
    }

    /// Asks as is asked over HTTP.
    async fn request(&self, asked: Asked) -> Answer {
        let database = &self.subscription.database;
        let marked = |key, wanted| async move {
            // Who drops means what he sees.
            let upto = if wanted == Wanted::Drop { letters::last(database).await.unwrap() } else { None };
            Answer::Marked(parking(database, key, upto, wanted).await.unwrap().wanted)
        };
        match asked {
            Asked::All(wanted) => marked(None, wanted).await,
            Asked::Of(place, Request::Parking(wanted)) => marked(Some(self.from + place as i32), wanted).await,
            Asked::Of(place, Request::One(number, wanted)) => {
                match one(database, &self.id(place, number), wanted).await {
                    Ok(_) => Answer::Noted,
                    Err(Unwanted::Unknown(_)) => Answer::Unknown,
                    Err(Unwanted::Closed(_)) => Answer::Closed,
                    Err(Unwanted::Behind { first, .. }) => Answer::Behind(number_of(&first)),
                    Err(Unwanted::Database(error)) => panic!("{error}"),
                }
            }
        }
    }

    /// Looks at the tables, and takes what stands there for the state of each key, if the model lets it be.
    async fn compare(&mut self, work: Work, worked: bool, asked: Option<Asked>, answered: Option<Answer>) {
        let seen = self.look().await;
        let mut marked = 0;
        for (place, (open, effects)) in seen.into_iter().enumerate() {
            let natures = self.natures.lock().unwrap()[place].clone();
            let request = asked.and_then(|asked| asked.of(place));
            let ways = self.keys[place].ways(work, request, &natures);
            let may_be = |(key, answer): &(Key, Option<Answer>)| {
                let told = match (answered, asked) {
                    (Some(_), Some(Asked::All(_))) => request.is_none() || answer.is_some(),
                    (Some(answered), _) if request.is_some() => *answer == Some(answered),
                    _ => true,
                };
                // What is asked meanwhile may come too late for this turn of repairs.
                let done = !worked || key.is_done(work) || (work == Work::Repair && request.is_some());
                told && done
            };
            let is = |key: &Key| key.open == open && key.effects == effects;
            let Some((key, answer)) = ways.iter().filter(|way| may_be(way)).find(|(key, _)| is(key)) else {
                panic!(
                    "{work:?} (ended: {worked}) and {asked:?} (answered: {answered:?}) made of {:#?} with {natures:?}: \
                     {open:#?}, {effects:?}",
                    self.keys[place]
                );
            };
            if let Some(Answer::Marked(letters)) = answer {
                marked += letters;
            }
            self.keys[place] = key.clone();
            self.keys[place].check(natures.len() as i64);
        }
        if let (Work::Rest, Some(Asked::All(_)), Some(answered)) = (work, asked, answered) {
            assert_eq!(answered, Answer::Marked(marked), "{asked:?}");
        }
    }

    /// What stands in the tables: the open letters of each key, and its effects.
    async fn look(&self) -> Vec<(Vec<Open>, Vec<i64>)> {
        let database = &self.subscription.database;
        // The one connection that writes is free when what was dropped has ended, one way or the other.
        let mut transaction = database.begin().await.unwrap();
        let effects = sqlx::query("SELECT event_key, event FROM effects WHERE event_key >= $1 ORDER BY number");
        let effects = effects.bind(self.from).fetch_all(&mut *transaction).await.unwrap();
        transaction.rollback().await.unwrap();
        let mut seen = vec![(Vec::new(), Vec::new()); KEYS];
        for effect in effects {
            seen[place(effect.get(0))].1.push(effect.get(1));
        }
        for letter in letters::page(database, 0, 1000, None, None).await.unwrap() {
            let kind = serde_json::from_value(Value::from(letter.kind)).unwrap();
            let known = [Wanted::Replay, Wanted::ReplayKey, Wanted::Drop];
            let wanted = letter.wanted.map(|wanted| *known.iter().find(|known| known.name() == wanted).unwrap());
            seen[place(letter.key.unwrap())].0.push(Open { event: number_of(&letter.id), kind, wanted });
        }
        seen
    }

    /// Starts a worker as after a crash, which may come again while it finishes the letters of its predecessor.
    async fn restart(&mut self) {
        loop {
            self.worker = None;
            let partition = self.consumer.assigned().await.unwrap();
            let (subscription, stop) = (self.subscription.clone(), CancellationToken::new());
            let worker = self.worker.insert(Worker { subscription, partition, remember: Duration::MAX, stop });
            let polls = if self.random.one_in(4) { self.random.below(20) } else { ENOUGH };
            if let Some(finished) = cut(worker.send_copies(), polls).await {
                finished.unwrap();
                break;
            }
        }
        // Sent again, so that there is something to take whether it was settled or not.
        if let Some(last) = self.last.clone() {
            self.producer.send(vec![last]).await.unwrap();
        }
    }

    /// Mends all that can be mended and replays it; drops the rest.
    async fn end(&mut self) {
        for natures in &mut *self.natures.lock().unwrap() {
            natures
                .values_mut()
                .filter(|nature| **nature != Nature::Unreadable)
                .for_each(|nature| *nature = Nature::Good);
        }
        self.step(Work::Take, None, false).await;
        self.step(Work::Repair, None, false).await;
        self.count().await;
        self.step(Work::Rest, Some(Asked::All(Wanted::ReplayKey)), false).await;
        self.step(Work::Repair, None, false).await;
        for wanted in [Wanted::Replay, Wanted::Drop] {
            assert!(!self.keys.iter().flat_map(|key| &key.open).any(Open::parks), "parked: {:?}", self.keys);
            for place in 0..KEYS {
                for letter in self.keys[place].open.clone() {
                    let request = Request::One(letter.event, wanted);
                    self.step(Work::Rest, Some(Asked::Of(place, request)), false).await;
                }
            }
            self.step(Work::Repair, None, false).await;
        }
        self.count().await;
        assert!(self.keys.iter().all(|key| key.open.is_empty() && key.coming.is_empty()), "{:?}", self.keys);
    }

    /// Compares how many letters are open and how many keys are parked.
    async fn count(&self) {
        let counted = summary::summary(&self.subscription.database).await.unwrap();
        let open =
            |is: &dyn Fn(&Open) -> bool| self.keys.iter().flat_map(|key| &key.open).filter(|open| is(open)).count();
        let parked = self.keys.iter().filter(|key| key.open.iter().any(Open::parks)).count();
        let expected = [open(&|_| true), open(&|open| open.kind == Kind::Invalid), parked];
        assert_eq!([counted.open, counted.invalid, counted.parked_keys], expected.map(|count| count as i64));
    }

    fn id(&self, place: usize, number: i64) -> String {
        format!("{}-{number}", self.from + place as i32)
    }
}

fn number_of(id: &str) -> i64 {
    id.rsplit('-').next().unwrap().parse().unwrap()
}

/// Some lanes side by side, since most of the time is spent on waiting for the disk.
fn run_all(seed: u64, cases: u32) {
    const LANES: u32 = 8;
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let folder = tempfile::tempdir().unwrap();
                runtime.block_on(async {
                    let mut own = Lane::open(folder.path()).await;
                    for number in (lane..cases).step_by(LANES as usize) {
                        own.case(seed, number).await;
                    }
                });
            });
        }
    });
}

#[test]
fn the_tables_say_what_the_model_says_after_every_step() {
    run_all(1, 200);
}

#[test]
#[ignore = "takes minutes: cargo test --profile profiling -p shared steps -- --ignored"]
fn the_tables_say_what_the_model_says_after_every_step_of_many() {
    run_all(2, 5_000);
}
