//! What an error of the database means.

use sqlx::sqlite::SqliteError;

/// What an error of the database means for the event that met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The rows refuse the data: SQLSTATE classes 22 and 23, SQLite's constraints.
    Constraint,
    /// The data or the statement fails again and again: SQLSTATE 0A, 54, P0, XX, SQLite's TOOBIG and MISMATCH, encoding.
    Data,
    /// Everything else passes: away, full, locked, out of time.
    Away,
}

/// Tells what `error` means.
pub fn trouble(error: &sqlx::Error) -> Trouble {
    use sqlx::Error;
    match error {
        Error::Database(error) => match (error.code(), error.try_downcast_ref::<SqliteError>()) {
            (Some(code), Some(_)) => trouble_of_sqlite(&code),
            (Some(state), None) => trouble_of_sqlstate(&state),
            (None, _) => Trouble::Away,
        },
        Error::Encode(_)
        | Error::Decode(_)
        | Error::ColumnDecode { .. }
        | Error::ColumnNotFound(_)
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::TypeNotFound { .. }
        | Error::RowNotFound => Trouble::Data,
        _ => Trouble::Away,
    }
}

fn trouble_of_sqlite(code: &str) -> Trouble {
    // The low byte is the primary result code: 18 TOOBIG, 19 CONSTRAINT, 20 MISMATCH.
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(19) => Trouble::Constraint,
        Ok(18 | 20) => Trouble::Data,
        _ => Trouble::Away,
    }
}

fn trouble_of_sqlstate(state: &str) -> Trouble {
    match state.get(..2) {
        Some("22" | "23") => Trouble::Constraint,
        Some("0A" | "54" | "P0" | "XX") => Trouble::Data,
        _ => Trouble::Away,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_kind() {
        for (code, trouble) in [
            ("2067", Trouble::Constraint),
            ("1555", Trouble::Constraint),
            ("18", Trouble::Data),
            ("20", Trouble::Data),
            ("5", Trouble::Away),
            ("517", Trouble::Away),
            ("13", Trouble::Away),
            ("1", Trouble::Away),
        ] {
            assert_eq!(trouble_of_sqlite(code), trouble, "{code}");
        }
        for (state, trouble) in [
            ("23505", Trouble::Constraint),
            ("22001", Trouble::Constraint),
            ("0A000", Trouble::Data),
            ("54000", Trouble::Data),
            ("P0001", Trouble::Data),
            ("XX000", Trouble::Data),
            ("40P01", Trouble::Away),
            ("53100", Trouble::Away),
            ("57P01", Trouble::Away),
            ("25P03", Trouble::Away),
        ] {
            assert_eq!(trouble_of_sqlstate(state), trouble, "{state}");
        }
        assert_eq!(trouble(&sqlx::Error::PoolTimedOut), Trouble::Away);
    }
}
