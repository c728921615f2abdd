//! Where the brokers are.

use anyhow::ensure;
use std::fmt;
use std::str::FromStr;

/// The value of `KAFKA_BROKERS`: `HOST:PORT`, or several with commas in between. One that answers is enough, it names
/// the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaBrokers(String);

impl KafkaBrokers {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KafkaBrokers {
    type Err = anyhow::Error;

    fn from_str(brokers: &str) -> anyhow::Result<Self> {
        let brokers: Vec<&str> = brokers.split(',').map(str::trim).collect();
        ensure!(brokers.iter().all(|broker| is_address(broker)), "HOST:PORT, or several with commas in between");
        Ok(Self(brokers.join(",")))
    }
}

impl fmt::Display for KafkaBrokers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether this is `HOST:PORT`, where the host may be an IPv6 address in brackets.
fn is_address(broker: &str) -> bool {
    broker.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let named = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        port.parse::<u16>().is_ok_and(|port| port > 0)
            && bare.map_or(named, |bare| bare.parse::<std::net::Ipv6Addr>().is_ok())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_hosts_with_ports() {
        for (given, kept) in [
            ("localhost:9092", "localhost:9092"),
            ("kafka-1:9092, kafka-2:9093", "kafka-1:9092,kafka-2:9093"),
            ("[::1]:9092", "[::1]:9092"),
        ] {
            assert_eq!(given.parse::<KafkaBrokers>().unwrap().to_string(), kept);
        }
        for given in ["", "kafka", "kafka:", "kafka:0", "kafka:90920", ":9092", "kafka:9092,", "PLAINTEXT://kafka:9092"]
        {
            assert!(given.parse::<KafkaBrokers>().is_err(), "{given}");
        }
    }
}
