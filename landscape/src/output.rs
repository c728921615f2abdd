//! How the command line writes: tables that people read, and a quiet end when nobody reads any more.

use std::io::{self, ErrorKind, Write};

/// Where a command writes what it found.
pub(crate) type Out<'a> = &'a mut (dyn Write + Send);

/// Takes a reader that went away, such as `head`, for the end of the job.
pub(crate) fn until_closed(done: anyhow::Result<()>) -> anyhow::Result<()> {
    done.or_else(|error| match error.downcast_ref::<io::Error>() {
        Some(cause) if cause.kind() == ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    })
}

/// A table that may come in pieces: the head is written before the first of them, and columns only grow.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    head: Option<[&'static str; N]>,
    widths: [usize; N],
}

impl<const N: usize> Table<N> {
    /// A table with these columns.
    pub(crate) fn new(head: [&'static str; N]) -> Self {
        Self { head: Some(head), widths: [0; N] }
    }

    /// Writes the next rows.
    pub(crate) fn write(&mut self, out: Out<'_>, rows: &[[String; N]]) -> io::Result<()> {
        let head = self.head.take().map(|head| head.map(str::to_owned));
        for row in head.iter().chain(rows) {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in head.iter().chain(rows) {
            let line: String = row.iter().zip(self.widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The text on one line, without what would command a terminal.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() { plain.extend(character.escape_default()) } else { plain.push(character) }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut out = Vec::new();
        let mut table = Table::new(["A", "NAME"]);
        table.write(&mut out, &[["1".to_owned(), "x".to_owned()], ["200".to_owned(), "y".to_owned()]]).unwrap();
        table.write(&mut out, &[["3".to_owned(), "z".to_owned()]]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "A    NAME\n1    x\n200  y\n3    z\n");
    }

    #[test]
    fn only_a_closed_output_is_a_quiet_end() {
        assert!(until_closed(Err(io::Error::from(ErrorKind::BrokenPipe).into())).is_ok());
        assert!(until_closed(Err(io::Error::from(ErrorKind::StorageFull).into())).is_err());
        assert!(until_closed(Err(anyhow::anyhow!("no such topic"))).is_err());
    }

    #[test]
    fn nothing_commands_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\nü"), "a\\u{1b}[2Jb\\nü");
    }
}
