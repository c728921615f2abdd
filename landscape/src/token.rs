//! By what the services of a landscape know an operator: a token that stands beside the data.
//!
//! What must never happen: a token in a log or on a terminal, or in a file that others can read.

use anyhow::{Context, Result, bail, ensure};
use shared::service::config::Token;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The token that was `given`, else the one beside the data.
pub fn find(given: Option<&Token>, data_dir: &Path) -> Result<Token> {
    if let Some(given) = given {
        return Ok(given.clone());
    }
    let file = file(data_dir);
    match read(&file)? {
        Some(token) => Ok(token),
        None => bail!(
            "there is no token to decide on dead letters with: set DEAD_LETTERS_TOKEN to the one that the services were \
             started with, or DATA_DIR to the folder of a landscape, where it stands in {}",
            file.display()
        ),
    }
}

/// The token beside the data, which is made where there is none.
pub fn find_or_make(data_dir: &Path) -> Result<Token> {
    let file = file(data_dir);
    fs::create_dir_all(data_dir).with_context(|| format!("DATA_DIR {} cannot be used", data_dir.display()))?;
    if let Some(token) = read(&file)? {
        return Ok(token);
    }
    make(&file).with_context(|| format!("{} cannot be written", file.display()))?;
    find(None, data_dir)
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("dead-letters.token")
}

fn read(file: &Path) -> Result<Option<Token>> {
    match fs::read_to_string(file) {
        Ok(text) => {
            let token = text.trim();
            ensure!(!token.is_empty(), "{} is empty: remove it, and the next start makes another", file.display());
            Ok(Some(Token::new(token)))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
    }
}

/// Whole or not at all: it is written under another name, and of two who make one the first wins.
fn make(file: &Path) -> std::io::Result<()> {
    let draft = file.with_extension(Uuid::new_v4().simple().to_string());
    let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    // Random numbers of the system, in letters that a header carries.
    let made = writeln!(written, "{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
        .and_then(|()| written.sync_all())
        .and_then(|()| fs::hard_link(&draft, file));
    fs::remove_file(&draft)?;
    match made {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_made_once_and_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let missing = find(None, &data).unwrap_err().to_string();
        assert!(
            missing.contains("set DEAD_LETTERS_TOKEN") && missing.ends_with("data/dead-letters.token"),
            "{missing}"
        );
        assert!(!data.exists(), "a look has made a folder");

        let made = find_or_make(&data).unwrap();
        assert_eq!(made.reveal().len(), 64);
        assert_eq!((find_or_make(&data).unwrap(), find(None, &data).unwrap()), (made.clone(), made));
        let given = Token::new("given");
        assert_eq!(find(Some(&given), &data).unwrap(), given);
        let files: Vec<_> = fs::read_dir(&data).unwrap().map(|file| file.unwrap()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);

        fs::write(file(&data), "\n").unwrap();
        assert!(find_or_make(&data).unwrap_err().to_string().contains("is empty: remove it"));
    }

    #[test]
    fn of_two_who_make_one_the_first_wins() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        make(&file).unwrap();
        let first = read(&file).unwrap();
        make(&file).unwrap();
        assert_eq!((read(&file).unwrap(), fs::read_dir(folder.path()).unwrap().count()), (first, 1));
    }
}
