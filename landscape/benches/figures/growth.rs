//! What an event costs when there is little and when there is much, in turn in one run.

use crate::layer::{apply_all, open};
use crate::{Table, middle};

const LITTLE: i32 = 10_000;
const MUCH: i32 = 1_000_000;
/// Events of a round; what they add is little.
const ROUND: i32 = 5_000;
const ROUNDS: i32 = 8;

pub(crate) async fn growth(table: &mut Table, on: &str, little: &str, much: &str) {
    let (little, much) = (open(little).await, open(much).await);
    apply_all(&little, 1, LITTLE + 1).await;
    for from in (1..=MUCH).step_by(100_000) {
        apply_all(&much, from, from + 100_000).await;
    }
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let of = |rows: i32| (rows + 1 + round * ROUND, rows + 1 + (round + 1) * ROUND);
        let ((from, to), (big_from, big_to)) = (of(LITTLE), of(MUCH));
        first.push(apply_all(&little, from, to).await.as_secs_f64() * 1e6 / f64::from(ROUND));
        last.push(apply_all(&much, big_from, big_to).await.as_secs_f64() * 1e6 / f64::from(ROUND));
    }
    let (first, last) = (middle(first), middle(last));
    table.row(on, "cost of an event with 10⁴ products", &format!("{first:.1} µs"), "inbox and table");
    table.row(
        on,
        "cost of an event with 10⁶ products",
        &format!("{last:.1} µs"),
        &format!("{:.2} of that with 10⁴", last / first),
    );
}
