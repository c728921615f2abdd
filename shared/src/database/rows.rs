//! Statements over many rows: one statement takes up to [`most`] of them.
//!
//! Batches come in any size, prepared statements should not: a batch is padded to the next power of two by repeating
//! its last row, so that few statements are prepared. The statements bear that: they list keys, or insert with
//! `ON CONFLICT DO NOTHING`.

use sqlx::{AnyConnection, AssertSqlSafe};
use std::fmt::Write;

/// The most rows in one statement on SQLite, which looks each numbered parameter up by its name, in a list of all of
/// them: with 256 rows that was a quarter of all time, with 32 it is a few hundredths.
pub const MOST_ON_SQLITE: usize = 32;

/// The most rows in one statement on a server, where each statement costs a way there and back.
const MOST_ON_A_SERVER: usize = 256;

/// The most rows in one statement on this connection.
pub fn most(connection: &AnyConnection) -> usize {
    if connection.backend_name() == "SQLite" { MOST_ON_SQLITE } else { MOST_ON_A_SERVER }
}

/// Cuts `items` into what one statement takes each, at the most `most`.
pub fn padded<T>(most: usize, items: &[T]) -> impl Iterator<Item = Vec<&T>> {
    items.chunks(most).map(|chunk| {
        let last = chunk.len() - 1;
        (0..chunk.len().next_power_of_two()).map(|at| &chunk[at.min(last)]).collect()
    })
}

/// Likewise rows that may be heavy, such as those with somebody's texts: repeats the lightest, so that padding weighs no
/// more than what it is for.
pub fn padded_lightly<T>(most: usize, items: &[T], weight: impl Fn(&T) -> usize) -> impl Iterator<Item = Vec<&T>> {
    items.chunks(most).map(move |chunk| {
        let lightest = chunk.iter().min_by_key(|item| weight(item));
        let padding = chunk.len().next_power_of_two() - chunk.len();
        chunk.iter().chain(lightest.into_iter().cycle().take(padding)).collect()
    })
}

/// A statement with one list in it: `before ($n, …), ($m, …) after`, with `columns` placeholders a row, or a single
/// list of keys where `columns` is 0. The numbers start behind the `given` parameters, which `before` and `after` may
/// name; in a row, `shared` stands in front of the placeholders, such as `$1, $2, `.
pub fn statement(before: &str, list: List<'_>, rows: usize, after: &str) -> AssertSqlSafe<String> {
    let mut sql = String::with_capacity(before.len() + rows * 24 + after.len());
    sql.push_str(before);
    match list {
        List::Keys { given } => {
            for row in 0..rows {
                // Writing to a string cannot fail.
                let _ = write!(sql, "{}${}", if row == 0 { "(" } else { ", " }, given + row + 1);
            }
            sql.push(')');
        }
        List::Rows { given, shared, columns } => {
            for row in 0..rows {
                let _ = write!(sql, "{}({shared}", if row == 0 { "" } else { ", " });
                for column in 0..columns {
                    let comma = if column == 0 { "" } else { ", " };
                    let _ = write!(sql, "{comma}${}", given + row * columns + column + 1);
                }
                sql.push(')');
            }
        }
    }
    sql.push_str(after);
    // Only numbers of parameters were put into the text.
    AssertSqlSafe(sql)
}

/// What is listed in a [`statement`].
#[derive(Debug, Clone, Copy)]
pub enum List<'a> {
    /// `($n, $m, …)`, behind `given` other parameters.
    Keys {
        /// How many parameters come before those of the list.
        given: usize,
    },
    /// `(shared $n, $m), …`, behind `given` other parameters.
    Rows {
        /// How many parameters come before those of the rows.
        given: usize,
        /// What stands in front in every row, such as `$1, $2, `.
        shared: &'a str,
        /// How many parameters each row has of its own.
        columns: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_numbered_behind_the_given_parameters() {
        let keys = statement("DELETE FROM t WHERE d = $1 AND k IN ", List::Keys { given: 1 }, 2, "");
        assert_eq!(keys.0, "DELETE FROM t WHERE d = $1 AND k IN ($2, $3)");
        let list = List::Rows { given: 1, shared: "$1, ", columns: 2 };
        let rows = statement("INSERT INTO t VALUES ", list, 2, " ON CONFLICT DO NOTHING");
        assert_eq!(rows.0, "INSERT INTO t VALUES ($1, $2, $3), ($1, $4, $5) ON CONFLICT DO NOTHING");
    }

    #[test]
    fn a_batch_is_padded_with_its_last_row() {
        let items: Vec<usize> = (0..35).collect();
        let batches: Vec<Vec<&usize>> = padded(32, &items).collect();
        assert_eq!(batches.len(), 2);
        assert_eq!(batches[0].len(), 32);
        assert_eq!(batches[1], [&32, &33, &34, &34]);
        assert_eq!(padded::<u8>(32, &[]).count(), 0);
    }

    #[test]
    fn what_may_be_heavy_is_padded_with_what_is_light() {
        let items = ["heavy", "a", "heavier", "", "still heavier", "b", "c"];
        let batches: Vec<Vec<&&str>> = padded_lightly(5, &items, |item| item.len()).collect();
        assert_eq!(batches[0], [&"heavy", &"a", &"heavier", &"", &"still heavier", &"", &"", &""]);
        assert_eq!(batches[1], [&"b", &"c"]);
    }
}
