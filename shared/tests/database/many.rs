//! What very many letters cost, and very large ones. The memory is that of the process, so each runs alone:
//! `cargo test -p shared --test database many -- --ignored --nocapture --test-threads 1`

use super::{open, standing, standing_with};
use shared::database::letters::summary::summary;
use shared::database::letters::wanted::{Wanted, parking};
use shared::database::letters::{Content, content, page};
use std::time::Instant;

/// Does this and prints how long it took, and the most memory meanwhile; returns the megabytes that came on top.
#[allow(clippy::print_stdout)]
async fn measured<T>(what: &str, work: impl Future<Output = T>) -> (T, u64) {
    // From here on the peak is counted anew.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let (before, since) = (megabytes("VmRSS:"), Instant::now());
    let done = work.await;
    let (took, most) = (since.elapsed(), megabytes("VmHWM:"));
    println!("{what}: {took:.1?}, {before} MB before, {most} MB at most");
    (done, most.saturating_sub(before))
}

fn megabytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[tokio::test]
#[ignore = "takes minutes and a gigabyte of disk"]
async fn a_million_letters_are_listed_counted_and_marked() {
    const ALL: i64 = 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let database = open(&format!("sqlite:{}", folder.path().join("test.db").display())).await;
    for first in (1..ALL).step_by(10_000) {
        standing_with(&database, first, first + 9_999, &[b'x'; 200]).await;
    }
    for after in [0, ALL / 2, ALL - 1000] {
        let (listed, _) = measured(&format!("a list behind {after}"), page(&database, after, 1000, None, None)).await;
        assert_eq!(listed.unwrap().len(), 1000);
    }
    let (listed, _) = measured("a list of the key", page(&database, ALL / 2, 1000, Some(7), None)).await;
    assert_eq!(listed.unwrap().len(), 1000);
    let (counted, _) = measured("a summary", summary(&database)).await;
    let counted = counted.unwrap();
    assert_eq!((counted.open, counted.parked_keys), (ALL, 1));
    let (marked, more) = measured("a replay of the key", parking(&database, Some(7), None, Wanted::ReplayKey)).await;
    assert_eq!(marked.unwrap().wanted, ALL.unsigned_abs());
    assert!(more < 100, "{more} MB for a request");
    let (counted, _) = measured("a summary of what is wanted", summary(&database)).await;
    assert_eq!(counted.unwrap().wanted_replay, ALL);
    database.close().await;
}

#[tokio::test]
#[ignore = "measures the memory of the process"]
async fn a_list_of_large_letters_is_small() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&format!("sqlite:{}", folder.path().join("test.db").display())).await;
    let large = vec![b'x'; 1024 * 1024];
    // One by one: what a large transaction leaves behind would hide what the list takes.
    for number in 1..=200 {
        standing_with(&database, number, number, &large).await;
    }
    standing(&database, 201, 201).await;
    let (listed, more) = measured("a list of large letters", page(&database, 0, 1000, None, None)).await;
    let listed = listed.unwrap();
    assert_eq!(listed.len(), 201);
    assert!(more < 50, "{more} MB for a list");
    let (shown, _) = measured("a large letter", content(&database, &listed[0])).await;
    let Content { body, .. } = shown.unwrap();
    assert!(body == large);
    database.close().await;
}
