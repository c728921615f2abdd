#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn nothing_set_is_the_landscape_of_spring() {
    let config = Config::read(&Variables::default()).unwrap();
    assert_eq!(config.retry.max_attempts, 3);
    assert_eq!(config.retry.pause(1), Duration::from_millis(500));
    assert_eq!(config.retry.pause(2), Duration::from_secs(1));
    assert_eq!(config.events.partitions, 1);
    assert_eq!(config.limits.body, 1 << 20);
    assert_eq!(config.cores.review.to_string(), "http://localhost:7003");
    assert_eq!(config.limits.read_try, Duration::from_secs(1));
}

#[test]
fn an_unreadable_value_is_named_with_what_is_allowed() {
    for (name, value, sentence) in [
        ("PARTITIONS", "two", "PARTITIONS is \"two\": allowed is a whole number from 1 to 1000"),
        ("PARTITIONS", "0", "PARTITIONS is \"0\": allowed is a whole number from 1 to 1000"),
        ("HOST", "localhost:80", "HOST is \"localhost:80\": allowed is an IP address"),
        ("BINDER", "carrier-pigeon", "BINDER is \"carrier-pigeon\": allowed is embedded, rabbitmq or kafka"),
        ("RETRY_MULTIPLIER", "0.5", "RETRY_MULTIPLIER is \"0.5\": allowed is a number from 1 to 100"),
        ("RETRY_MULTIPLIER", "NaN", "RETRY_MULTIPLIER is \"NaN\": allowed is a number from 1 to 100"),
        ("DATABASE_URL", "mysql://me:secret@host/db", "DATABASE_URL is \"mysql:…\": allowed is sqlite:PATH or"),
        ("DATABASE_URL", "sqlite::memory:", "DATABASE_URL is \"sqlite:…\": allowed is sqlite:PATH or"),
        ("TAKEOVER", "off", "TAKEOVER is \"off\": allowed is on, since INSTANCE_INDEX is not set"),
        ("TAKEOVER", "maybe", "TAKEOVER is \"maybe\": allowed is on or off"),
        ("REVIEW_SERVICE_URL", "review:80", "is \"review:80\": allowed is a URL such as http://host:port"),
        ("PRODUCT_SERVICE_URL", "https://a", "commas in between, or dns+http://name:port; services speak plain HTTP"),
        ("INSTANCE_INDEX", "0", "INSTANCE_COUNT is \"\": allowed is a whole number, since INSTANCE_INDEX is set"),
    ] {
        let error = Config::read(&Variables::from([(name, value)])).unwrap_err().to_string();
        assert!(error.contains(sentence), "{error}");
    }
    let error = Variables::from([("PORT", "70000")]).port("PORT", 7000).unwrap_err();
    assert_eq!(error.to_string(), "PORT is \"70000\": allowed is a port from 0 to 65535");
}

#[test]
fn an_index_comes_with_its_count() {
    let of = |index, count| Variables::from([("INSTANCE_INDEX", index), ("INSTANCE_COUNT", count)]);
    let of = |index, count| instance(&of(index, count));
    assert_eq!(of("1", "2").unwrap(), Some(Instance { index: 1, count: 2 }));
    assert_eq!(
        of("2", "2").unwrap_err().to_string(),
        "INSTANCE_INDEX is \"2\": allowed is a number below INSTANCE_COUNT"
    );
}

#[test]
fn help_lists_every_variable_with_its_default() {
    let help = help(&[("PORT", 7001, "port to listen on")], &[COMMON]);
    for name in ["PORT", "DATA_DIR", "RETRY_MULTIPLIER", "RUST_LOG", "REVIEW_SERVICE_URL", "EUREKA_URL"] {
        assert!(help.contains(name), "{name}");
    }
    assert!(help.contains("[7001]") && help.contains("[unset]"), "{help}");
}
