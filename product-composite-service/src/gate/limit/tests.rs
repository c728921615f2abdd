//! The limit before brokers of several kinds, in simulated time.

use super::*;
use std::collections::VecDeque;

const FINE: Duration = Duration::from_millis(1);
const MOST: u32 = 1024;

/// A broker that takes up to `window` requests at a time: a commit takes `commit`, and `each` for each of them.
#[derive(Debug, Clone, Copy)]
struct Broker {
    commit: Duration,
    each: Duration,
    window: u32,
}

/// Requests come at random, a broker does what it does, and time is only counted.
struct Simulation {
    limit: Limit,
    now: Instant,
    random: fastrand::Rng,
    waiting: VecDeque<(Ticket, Instant)>,
    committing: Vec<(Ticket, Instant)>,
    done_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Seen {
    admitted: usize,
    refused: usize,
    took: Vec<Duration>,
}

impl Seen {
    fn p99(&mut self) -> Duration {
        self.took.sort_unstable();
        self.took[self.took.len() * 99 / 100]
    }
}

impl Simulation {
    fn new() -> Self {
        Self::with(FINE)
    }

    /// One where this delay is always fine.
    fn with(fine: Duration) -> Self {
        let now = Instant::now();
        Self {
            limit: Limit::new(MOST, fine, now),
            now,
            random: fastrand::Rng::with_seed(7),
            waiting: VecDeque::new(),
            committing: Vec::new(),
            done_at: None,
        }
    }

    /// One that has seen requests that were alone, and then more than enough of them.
    fn found(broker: Broker) -> Self {
        let mut simulation = Self::new();
        simulation.run(
            broker,
            0.1 / (broker.commit + broker.each).as_secs_f64(),
            (broker.commit + broker.each) * 1_000,
        );
        simulation.run(broker, broker.takes() * 10.0, broker.time(20_000.0));
        simulation
    }

    /// So many requests a second come to `broker`, for so long.
    fn run(&mut self, broker: Broker, per_second: f64, time: Duration) -> Seen {
        let (mut seen, end) = (Seen::default(), self.now + time);
        let mut next = self.now;
        while self.now < end {
            let done = self.done_at.filter(|done| *done <= next);
            self.now = done.unwrap_or(next);
            if done.is_some() {
                self.done_at = None;
                for (ticket, since) in self.committing.drain(..) {
                    seen.took.push(self.now - since);
                    self.limit.leave(&ticket, true, self.now);
                }
            } else {
                match self.limit.enter(self.now) {
                    Some(ticket) => {
                        seen.admitted += 1;
                        self.waiting.push_back((ticket, self.now));
                    }
                    None => seen.refused += 1,
                }
                next = self.now + Duration::from_secs_f64(-(1.0 - self.random.f64()).ln() / per_second);
            }
            if self.done_at.is_none() && !self.waiting.is_empty() {
                let size = self.waiting.len().min(broker.window as usize);
                self.committing.extend(self.waiting.drain(..size));
                self.done_at = Some(self.now + broker.commit + broker.each * u32::try_from(size).unwrap());
            }
        }
        seen
    }
}

impl Broker {
    const fn new(commit: u64, each: u64, window: u32) -> Self {
        Self { commit: Duration::from_micros(commit), each: Duration::from_micros(each), window }
    }

    /// How many requests it takes in a second, if it may let them wait as long as it likes.
    fn takes(self) -> f64 {
        let window = f64::from(self.window);
        window / (self.commit + self.each * self.window).as_secs_f64()
    }

    /// How long it has for so many requests.
    fn time(self, requests: f64) -> Duration {
        Duration::from_secs_f64(requests / self.takes())
    }
}

/// One by one, as an embedded log, as brokers near and far away, as a disk that is very slow.
const BROKERS: [Broker; 5] = [
    Broker::new(0, 2_000, 1),
    Broker::new(600, 140, 512),
    Broker::new(8_000, 150, 8_192),
    Broker::new(60_000, 500, 4_096),
    Broker::new(400_000, 4_000, 512),
];

#[test]
fn nobody_is_refused_at_half_of_what_the_broker_takes() {
    for broker in BROKERS {
        let seen = Simulation::new().run(broker, broker.takes() / 2.0, broker.time(20_000.0));
        assert_eq!(seen.refused, 0, "{broker:?}");
    }
}

#[test]
fn who_is_admitted_at_ten_times_the_load_waits_at_most_twice_as_long_as_at_half_of_it() {
    for broker in BROKERS {
        let mut simulation = Simulation::found(broker);
        let time = broker.time(20_000.0);
        let mut over = simulation.run(broker, broker.takes() * 10.0, time);
        let taken = over.admitted as f64 / time.as_secs_f64();
        // A commit that is shared by all that wait takes everything sometime; with a delay that is bounded it is less.
        assert!(taken > 0.6 * broker.takes(), "{broker:?}: {taken:.0} of {:.0} a second", broker.takes());
        simulation.run(broker, taken / 2.0, time);
        let mut half = simulation.run(broker, taken / 2.0, time);
        assert!(over.p99() <= 2 * half.p99(), "{broker:?}: {:?} and {:?}", over.p99(), half.p99());
        assert_eq!(half.refused, 0, "{broker:?}");
    }
}

#[test]
fn too_many_at_once_are_no_reason_to_believe_that_the_broker_became_slow() {
    let fine = Duration::from_millis(100);
    for broker in [BROKERS[0], BROKERS[1]] {
        let mut simulation = Simulation::with(fine);
        for round in 0..3 {
            simulation.run(broker, broker.takes() / 2.0, Duration::from_secs(3));
            // Until the limit is found, and until those have gone that were let in before it was.
            simulation.run(broker, broker.takes() * 10.0, broker.time(1024.0) + GRACE);
            let time = broker.time(20_000.0);
            let mut over = simulation.run(broker, broker.takes() * 10.0, time);
            assert!(over.p99() < fine * 2, "{broker:?} in round {round}: {:?}", over.p99());
            let taken = over.admitted as f64 / time.as_secs_f64();
            assert!(taken > 0.9 * broker.takes(), "{broker:?} in round {round}: {taken:.0} a second");
        }
    }
}

#[test]
fn a_burst_is_let_in_whole_and_no_more_than_the_most() {
    for (burst, refused) in [(1_000, 0), (2_000, 2_000 - MOST)] {
        let mut simulation = Simulation::new();
        let seen = (0..burst).filter(|_| simulation.limit.enter(simulation.now).is_none()).count();
        assert_eq!(seen, refused as usize);
    }
}

#[test]
fn a_pause_of_the_broker_costs_those_nothing_who_are_not_many() {
    let (broker, now) = (BROKERS[2], Instant::now());
    let mut simulation = Simulation::found(broker);
    simulation.run(broker, 1_000.0, Duration::from_secs(5));
    let pausing = Broker { commit: Duration::from_millis(200), ..broker };
    let seen = simulation.run(pausing, 1_000.0, Duration::from_millis(200));
    assert_eq!((seen.refused, simulation.now > now), (0, true));
}

#[test]
fn a_broker_that_does_not_answer_is_waited_for_by_fewer_and_fewer() {
    let (mut limit, start) = (Limit::new(MOST, FINE, Instant::now()), Instant::now());
    let mut waiting = Vec::new();
    for millis in 0..10_000 {
        waiting.extend(limit.enter(start + Duration::from_millis(millis)));
    }
    assert!(waiting.len() < 900, "{} are let in, of 10,000", waiting.len());
    // Failures and those who leave tell nothing, and nobody is counted for ever.
    for ticket in &waiting {
        limit.leave(ticket, false, start + Duration::from_secs(10));
    }
    assert!(limit.under_way.is_empty());
    assert!(limit.enter(start + Duration::from_secs(60)).is_some());
    assert_eq!(limit.now(), f64::from(MOST), "what was long ago is forgotten");
}

#[test]
fn a_broker_that_became_slow_for_good_is_believed() {
    let mut simulation = Simulation::found(BROKERS[1]);
    let slow = BROKERS[3];
    simulation.run(slow, slow.takes() * 10.0, slow.time(40_000.0));
    let seen = simulation.run(slow, slow.takes() * 10.0, slow.time(20_000.0));
    let taken = seen.admitted as f64 / slow.time(20_000.0).as_secs_f64();
    assert!(taken > 0.6 * slow.takes(), "{taken:.0} of {:.0} a second", slow.takes());
}

#[test]
fn where_waiting_is_not_for_others_nobody_is_refused_for_long() {
    let (mut limit, start) = (Limit::new(MOST, FINE, Instant::now()), Instant::now());
    let (mut waiting, mut refused_last) = (VecDeque::new(), None);
    for millis in 0..30_000 {
        let now = start + Duration::from_millis(millis);
        // However many there are, each takes 300 ms.
        while waiting.front().is_some_and(|(_, since)| now - *since >= Duration::from_millis(300)) {
            limit.leave(&waiting.pop_front().unwrap().0, true, now);
        }
        match limit.enter(now) {
            Some(ticket) => waiting.push_back((ticket, now)),
            None => refused_last = Some(now - start),
        }
    }
    assert!(refused_last.is_none_or(|last| last < Duration::from_secs(10)), "{refused_last:?}");
}

#[test]
fn a_pause_at_half_of_what_the_broker_takes_refuses_nobody() {
    for broker in [BROKERS[0], BROKERS[1], BROKERS[2]] {
        let mut simulation = Simulation::new();
        simulation.run(broker, broker.takes() / 2.0, broker.time(5_000.0));
        let pausing = Broker { commit: broker.commit + Duration::from_millis(150), ..broker };
        let paused = simulation.run(pausing, broker.takes() / 2.0, Duration::from_millis(150));
        let after = simulation.run(broker, broker.takes() / 2.0, broker.time(5_000.0));
        assert_eq!(paused.refused + after.refused, 0, "{broker:?}");
    }
}
