//! Options that are more than one number.

use std::str::FromStr;
use std::time::Duration;

/// The share of creations, deletions and reads among the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mix {
    pub(super) creates: u32,
    pub(super) deletes: u32,
    pub(super) reads: u32,
}

/// A share from nothing to everything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share(pub(super) f64);

/// Requests a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rate(pub(super) f64);

/// What a mix adds up to at the most: more would say nothing more.
const WHOLE: u32 = 1_000_000;

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<u32>, _> = text.split(',').map(|number| number.trim().parse()).collect();
        let Ok(&[creates, deletes, reads]) = numbers.as_deref() else {
            return Err("allowed are three whole numbers, such as 70,10,20 for creates, deletes and reads".to_owned());
        };
        if [creates, deletes, reads].iter().any(|number| *number > WHOLE) {
            return Err(format!("allowed are numbers up to {WHOLE}"));
        }
        if creates == 0 || deletes > creates {
            return Err(format!("{creates} creates must be at least 1 and at least the {deletes} deletes"));
        }
        Ok(Self { creates, deletes, reads })
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_suffix('%').unwrap_or(text).trim().parse() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self(percent / 100.0)),
            _ => Err("allowed is a share from 0% to 100%".to_owned()),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(rate) if (0.01..=1e6).contains(&rate) => Ok(Self(rate)),
            _ => Err("allowed are 0.01 to 1000000 requests a second".to_owned()),
        }
    }
}

impl Rate {
    /// The time from one request to the next.
    pub(super) fn gap(self) -> Duration {
        Duration::from_secs_f64(1.0 / self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_is_read() {
        assert_eq!("70, 10,20".parse(), Ok(Mix { creates: 70, deletes: 10, reads: 20 }));
        assert_eq!(("5%".parse(), "2.5".parse()), (Ok(Share(0.05)), Ok(Share(0.025))));
        assert_eq!("500".parse::<Rate>().unwrap().gap(), Duration::from_millis(2));
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_is_allowed() {
        for (mix, said) in [
            ("70,30", "three whole numbers"),
            ("a,b,c", "three whole numbers"),
            ("-1,0,0", "three whole numbers"),
            ("0,0,9", "at least 1"),
            ("10,20,0", "at least the 20 deletes"),
            ("1,1,4000000000", "up to 1000000"),
        ] {
            assert!(mix.parse::<Mix>().unwrap_err().contains(said), "{mix}");
        }
        for share in ["101%", "-1", "NaN", "half", ""] {
            assert_eq!(share.parse::<Share>().unwrap_err(), "allowed is a share from 0% to 100%");
        }
        for rate in ["0", "-5", "NaN", "inf", "fast", "1e7"] {
            assert_eq!(rate.parse::<Rate>().unwrap_err(), "allowed are 0.01 to 1000000 requests a second");
        }
    }
}
