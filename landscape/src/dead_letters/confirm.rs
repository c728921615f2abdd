//! Whether to give events up for good: asked of whoever sits there.

use super::scope::Scope;
use anyhow::{Result, ensure};
use std::io::{self, BufRead, IsTerminal, Write};

/// Asks whether to drop so many letters of each service, and says who could not be asked for his; nobody who could answer
/// is a refusal.
pub(super) fn drop(counts: &[(&str, u64)], away: &[String], scope: &Scope) -> Result<bool> {
    let input = io::stdin();
    ensure!(input.is_terminal(), "drop gives events up for good, and here is nobody to ask: confirm it with --yes");
    for away in away {
        writeln!(io::stderr(), "{away}")?;
    }
    ask(counts, scope, &mut input.lock(), &mut io::stderr())
}

/// Asks on `output` whether to drop so many letters of each service; only yes is yes.
fn ask(counts: &[(&str, u64)], scope: &Scope, input: &mut impl BufRead, output: &mut impl Write) -> Result<bool> {
    let all: u64 = counts.iter().map(|(_, open)| open).sum();
    if all == 0 {
        writeln!(output, "There are no dead letters {scope}.")?;
        return Ok(false);
    }
    let of: Vec<_> = counts.iter().map(|(service, open)| format!("{open} of {service}")).collect();
    write!(output, "Drop {all} dead letters {scope} ({})? Their events never take effect. [y/N] ", of.join(", "))?;
    output.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        scope: Scope,
    }

    #[test]
    fn only_yes_is_yes_and_nothing_is_not_asked_about() {
        let Cli { scope } = Cli::parse_from(["drop", "--key", "-7"]);
        let said = |counts: &[(&str, u64)], answer: &str| {
            let mut question = Vec::new();
            let yes = ask(counts, &scope, &mut answer.as_bytes(), &mut question).unwrap();
            (yes, String::from_utf8(question).unwrap())
        };
        let counts = [("product", 3), ("review", 9)];
        let question =
            "Drop 12 dead letters that park key -7 (3 of product, 9 of review)? Their events never take effect. [y/N] ";
        for (answer, yes) in [("y\n", true), ("Yes\n", true), ("\n", false), ("n\n", false), ("", false)] {
            assert_eq!(said(&counts, answer), (yes, question.to_owned()), "{answer:?}");
        }
        assert_eq!(said(&[], "y\n"), (false, "There are no dead letters that park key -7.\n".to_owned()));
    }
}
