//! How far the work on a partition has come.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// A partition since the group gave it to us; given again, it is another place.
#[derive(Default)]
pub(super) struct Place {
    pub(super) lost: CancellationToken,
    progress: Mutex<Progress>,
}

/// Offsets, each of the record that comes next.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// The first that was handed out.
    first: Option<i64>,
    /// Behind the last that was handed out, and behind the last that was settled.
    taken: Option<i64>,
    settled: Option<i64>,
    /// Whether nothing stood behind what was taken, and whether that was so when all of it was settled.
    at_end: bool,
    pub(super) caught_up: bool,
}

impl Progress {
    pub(super) fn took(&mut self, offset: i64) {
        self.first.get_or_insert(offset);
        (self.taken, self.at_end) = (Some(offset + 1), false);
    }

    pub(super) fn reached_end(&mut self) {
        self.at_end = true;
        self.caught_up |= self.settled == self.taken;
    }

    pub(super) fn settled(&mut self, next: i64) {
        self.settled = Some(next);
        self.caught_up |= self.at_end && self.settled == self.taken;
    }

    /// The client begins there again.
    pub(super) fn went_back(&mut self, begin: i64) {
        (self.taken, self.at_end) = (Some(begin), false);
    }

    /// Whether nothing but commits of transactions stands before `end`, which is where the client last met the end of the
    /// partition while so many records waited in its queue.
    ///
    /// Ends only grow: one that the client remembers from before we met ours is no greater than that. One that it has met
    /// since came with records, and then they wait, or we have taken them and not met the end again.
    pub(super) fn is_over(&self, end: i64, waiting: i64) -> bool {
        self.at_end && waiting == 0 && self.taken == self.settled && Some(end) > self.settled && end >= 0
    }

    /// Everything before `end` is settled.
    pub(super) fn passed_to(&mut self, end: i64) {
        (self.taken, self.settled) = (Some(end), Some(end));
    }

    /// Where whoever works on it next begins, if that is not where the client is.
    pub(super) fn again(&self) -> Option<i64> {
        let begin = self.settled.or(self.first);
        begin.filter(|_| begin != self.taken)
    }
}

impl Place {
    /// To be held from before a record is taken until that is noted, so that nobody sees it in neither place.
    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_settled_reaches_over_commits_and_over_no_record() {
        let mut progress = Progress::default();
        assert!(!progress.is_over(7, 0), "the end is not met");
        progress.took(5);
        progress.reached_end();
        assert!(!progress.is_over(7, 0), "the record is not settled");
        progress.settled(6);
        assert!(progress.caught_up && progress.is_over(7, 0));
        assert!(!progress.is_over(7, 1), "there are records that wait");
        assert!(!progress.is_over(6, 0) && !progress.is_over(-1001, 0), "that is no end beyond what is settled");
        progress.passed_to(7);
        progress.took(7);
        progress.settled(8);
        assert!(!progress.is_over(9, 0), "the end was met before this record");
        assert_eq!(progress.again(), None);
    }

    #[test]
    fn who_comes_next_begins_behind_what_was_settled() {
        let mut progress = Progress::default();
        assert_eq!(progress.again(), None, "nothing was handed out");
        progress.took(5);
        progress.took(6);
        assert_eq!(progress.again(), Some(5));
        progress.settled(6);
        assert_eq!(progress.again(), Some(6));
        progress.reached_end();
        progress.went_back(6);
        assert_eq!(progress.again(), None);
        assert!(!progress.is_over(9, 0), "the end was met where the client is no more");
    }
}
