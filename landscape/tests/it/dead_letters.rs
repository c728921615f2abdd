//! The command line of dead letters beside a landscape in which events fail.

use crate::commands::{create, lines, running, sentence};
use crate::process::{Ended, LANDSCAPE, Landscape, Process, SOON, client};
use crate::verdict;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;
use testkit::eventually;

/// From now on products of this name fail, as no domain refuses anything.
const BREAK: &str = "CREATE TABLE trap (id INTEGER PRIMARY KEY);
    CREATE TRIGGER trap_broken AFTER INSERT ON products WHEN NEW.name = 'broken' BEGIN
        INSERT INTO trap VALUES ('no number');
    END";
const MEND: &str = "DROP TRIGGER trap_broken";
/// Lets deletions wait as for a database that is away.
const HOLD: &str = "CREATE TRIGGER hold AFTER DELETE ON products BEGIN INSERT INTO nowhere VALUES (1); END";
const RELEASE: &str = "DROP TRIGGER hold";

#[tokio::test]
async fn a_dead_letter_is_listed_and_shown() {
    let (folder, landscape) = running().await;
    let none = landscape.command(folder.path(), &["dead-letters", "list"]).await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), "There are no dead letters.\n"));

    create(&landscape, 7, "one").await;
    create(&landscape, 7, "another").await;
    let letter = eventually(SOON, "there is a dead letter", async || {
        let listed = landscape.command(folder.path(), &["dead-letters", "list", "--json"]).await;
        assert_eq!(listed.code, Some(0), "{listed:?}");
        lines(&listed.stdout).pop().ok_or("none")
    })
    .await;
    let said = ["service", "destination", "kind", "cause"].map(|field| letter[field].as_str().unwrap());
    assert_eq!(said, ["product", "products", "invalid", "Duplicate key, Product Id: 7"]);
    assert_eq!((&letter["key"], &letter["attempts"]), (&7.into(), &1.into()));

    let id = letter["id"].as_str().unwrap();
    let shown = landscape.command(folder.path(), &["dead-letters", "show", id, "--json"]).await;
    let shown = lines(&shown.stdout).pop().unwrap();
    assert_eq!((&shown["id"], &shown["body"]["data"]["name"]), (&id.into(), &"another".into()));
    let shown = landscape.command(folder.path(), &["dead-letters", "show", id]).await;
    assert!(shown.stdout.contains("cause        Duplicate key, Product Id: 7\n"), "{shown:?}");

    let unknown = landscape.command(folder.path(), &["dead-letters", "show", "nothing"]).await;
    assert_eq!(sentence(&unknown), "no service has a dead letter with the id \"nothing\"");
}

/// A landscape with three letters of product 1, of which the first failed, and one of product 2.
async fn broken() -> (TempDir, Landscape) {
    let folder = tempfile::tempdir().unwrap();
    // Small batches: of letters too, so that a replay can be met at work.
    let variables = [("RETRY_INITIAL_INTERVAL_MS", "1"), ("RETRY_MAX_INTERVAL_MS", "1"), ("BATCH_SIZE", "2")];
    let landscape = Landscape::start(folder.path(), &variables).await;
    verdict::execute(folder.path(), "product", BREAK).await;
    create(&landscape, 1, "broken").await;
    let delete = client().delete(format!("{}/product-composite/1", landscape.composite())).send().await;
    assert_eq!(delete.unwrap().status(), 202);
    create(&landscape, 1, "whole").await;
    create(&landscape, 2, "broken").await;
    eventually(SOON, "there are four letters", async || {
        let letters = dead_letters(&landscape, folder.path(), "list --json").await;
        let kinds: Vec<_> = lines(&letters.stdout).iter().map(|letter| letter["kind"].clone()).collect();
        if kinds == ["failed", "parked", "parked", "failed"] { Ok(()) } else { Err(letters.stdout) }
    })
    .await;
    (folder, landscape)
}

async fn dead_letters(landscape: &Landscape, data_dir: &Path, command: &str) -> Ended {
    let arguments: Vec<&str> = ["dead-letters"].into_iter().chain(command.split(' ')).collect();
    landscape.command(data_dir, &arguments).await
}

async fn name(landscape: &Landscape, id: i32) -> Value {
    let answer = client().get(format!("{}/product-composite/{id}", landscape.composite())).send().await.unwrap();
    answer.json::<Value>().await.unwrap()["name"].clone()
}

#[tokio::test]
async fn letters_are_replayed_in_order_and_a_key_that_fails_again_is_shown() {
    let (folder, landscape) = broken().await;
    let replay = async |scope: &str| dead_letters(&landscape, folder.path(), &format!("replay {scope}")).await;

    let still = replay("--all").await;
    assert_eq!(still.code, Some(1), "{still:?}");
    let shown: Vec<Vec<&str>> = still.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(shown[1], ["product", "4", "0", "0", "4"], "{still:?}");
    assert_eq!((shown[7][1], shown[8][1]), ("1", "2"), "{still:?}");
    assert!(shown[7].ends_with(&["datatype", "mismatch"]), "{still:?}");
    assert!(still.stderr.starts_with("error: 4 dead letters that park a key are left"), "{still:?}");

    verdict::execute(folder.path(), "product", MEND).await;
    let one = replay("--key 1 --json").await;
    assert_eq!(one.code, Some(0), "{one:?}");
    let product = &lines(&one.stdout)[0];
    assert_eq!((&product["service"], &product["done"], &product["left"]), (&"product".into(), &3.into(), &0.into()));
    assert_eq!(name(&landscape, 1).await, "whole");

    let left = lines(&dead_letters(&landscape, folder.path(), "list --json --kind failed").await.stdout);
    let id = left[0]["id"].as_str().unwrap();
    assert_eq!((left.len(), &left[0]["key"]), (1, &2.into()));
    let last = replay(&format!("--id {id}")).await;
    assert_eq!(last.code, Some(0), "{last:?}");
    assert_eq!(name(&landscape, 2).await, "broken");
    let again = replay(&format!("--id {id}")).await;
    assert!(
        sentence(&again).ends_with(&format!("answers 409 Conflict: The dead letter {id} is closed already")),
        "{again:?}"
    );
    let none = dead_letters(&landscape, folder.path(), "list").await;
    assert_eq!(none.stdout, "There are no dead letters.\n");
}

#[tokio::test]
async fn letters_are_dropped_by_who_says_so() {
    let (folder, landscape) = broken().await;
    let refused = dead_letters(&landscape, folder.path(), "drop --all").await;
    assert_eq!(sentence(&refused), "drop gives events up for good, and here is nobody to ask: confirm it with --yes");

    let parked = lines(&dead_letters(&landscape, folder.path(), "list --json --key 1").await.stdout);
    assert_eq!(parked.len(), 3);
    let second = parked[1]["id"].as_str().unwrap();
    let behind = dead_letters(&landscape, folder.path(), &format!("drop --yes --id {second}")).await;
    assert!(sentence(&behind).contains("answers 409 Conflict: "), "{behind:?}");
    let unknown = dead_letters(&landscape, folder.path(), "drop --yes --id nothing").await;
    assert_eq!(sentence(&unknown), "no service has a dead letter with the id \"nothing\"");
    for verb in ["replay", "drop --yes"] {
        let none = dead_letters(&landscape, folder.path(), &format!("{verb} --key 99")).await;
        assert_eq!(sentence(&none), "no service has dead letters that park key 99");
    }

    let dropped = dead_letters(&landscape, folder.path(), "drop --yes --key 1 --service product --json").await;
    assert_eq!(dropped.code, Some(0), "{dropped:?}");
    assert_eq!(lines(&dropped.stdout)[0]["done"], 3);
    let all = dead_letters(&landscape, folder.path(), "drop --yes --all").await;
    assert_eq!(all.code, Some(0), "{all:?}");
    let none = dead_letters(&landscape, folder.path(), "list").await;
    assert_eq!(none.stdout, "There are no dead letters.\n");
    // What was dropped never takes effect, and what comes then does.
    verdict::execute(folder.path(), "product", MEND).await;
    create(&landscape, 1, "new").await;
    eventually(SOON, "the new product", async || {
        let name = name(&landscape, 1).await;
        if name == "new" { Ok(()) } else { Err(name) }
    })
    .await;
}

#[tokio::test]
async fn the_embedded_log_has_nothing_of_others_to_import() {
    let (folder, landscape) = running().await;
    let imported = dead_letters(&landscape, folder.path(), "import --json").await;
    assert_eq!(imported.code, Some(0), "{imported:?}");
    let zeros: Vec<_> = lines(&imported.stdout).iter().map(|row| row["imported"].clone()).collect();
    assert_eq!(zeros, [0, 0, 0]);
}

#[tokio::test]
async fn only_who_has_the_token_decides() {
    let (folder, landscape) = running().await;
    let file = folder.path().join("dead-letters.token");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let token = fs::read_to_string(&file).unwrap();
    let said = format!("{}{}", landscape.process.stdout(), landscape.process.stderr());
    assert!(!said.contains(token.trim()), "the token is printed");

    let elsewhere = tempfile::tempdir().unwrap();
    let none = dead_letters(&landscape, elsewhere.path(), "replay --all").await;
    assert!(sentence(&none).starts_with("there is no token to decide on dead letters with: set DEAD_LETTERS_TOKEN"));
    fs::write(elsewhere.path().join("dead-letters.token"), "another").unwrap();
    let wrong = dead_letters(&landscape, elsewhere.path(), "replay --all --service review").await;
    assert!(sentence(&wrong).contains(" refuses the token: set DEAD_LETTERS_TOKEN to the one"), "{wrong:?}");

    assert_eq!(landscape.stop("TERM").await.code, Some(0));
    let next = Landscape::start(folder.path(), &[]).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), token, "the next start made another token");
    assert_eq!(dead_letters(&next, folder.path(), "replay --all").await.code, Some(0));
}

#[tokio::test]
async fn a_service_that_is_away_fails_the_command_and_the_others_decide() {
    let (folder, landscape) = running().await;
    let port = |number: usize| landscape.urls[number].rsplit(':').next().unwrap();
    let variables = [
        ("DATA_DIR", folder.path().to_str().unwrap()),
        ("PRODUCT_PORT", port(1)),
        ("RECOMMENDATION_PORT", "9"),
        ("REVIEW_PORT", port(3)),
    ];
    let ended = Process::start(LANDSCAPE, &["dead-letters", "replay", "--all"], &variables).ended().await;
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(1), 3), "{ended:?}");
    assert!(ended.stderr.starts_with("error: recommendation at http://127.0.0.1:9 cannot be reached"), "{ended:?}");
}

/// A landscape with hundreds of letters of product 1, and the command that replays them: the first has been applied, a
/// creation, and the others wait for the release.
async fn replaying(options: &[&str]) -> (TempDir, Landscape, Process) {
    let (folder, landscape) = broken().await;
    for _ in 0..150 {
        let delete = client().delete(format!("{}/product-composite/1", landscape.composite())).send().await;
        assert_eq!(delete.unwrap().status(), 202);
        create(&landscape, 1, "whole").await;
    }
    eventually(SOON, "all stand behind the first", async || match parked(&landscape).await {
        302 => Ok(()),
        other => Err(other),
    })
    .await;
    verdict::execute(folder.path(), "product", HOLD).await;
    verdict::execute(folder.path(), "product", MEND).await;
    let replay = [&["dead-letters", "replay", "--key", "1", "--service", "product"], options].concat();
    let replay = landscape.start_command(folder.path(), &replay);
    eventually(SOON, "the first is replayed", async || match summary(&landscape, "failed").await {
        1 => Ok(()),
        other => Err(other),
    })
    .await;
    (folder, landscape, replay)
}

/// How many letters stand behind others.
async fn parked(landscape: &Landscape) -> u64 {
    summary(landscape, "parked").await
}

/// How many letters of the product service are this.
async fn summary(landscape: &Landscape, what: &str) -> u64 {
    let url = format!("{}/actuator/deadletters?limit=1", landscape.urls[1]);
    let listed: Value = client().get(url).send().await.unwrap().json().await.unwrap();
    listed["summary"][what].as_u64().unwrap()
}

#[tokio::test]
async fn a_replay_goes_on_without_who_asked_for_it_and_may_be_asked_for_again() {
    let (folder, landscape, mut replay) = replaying(&[]).await;
    replay.kill();
    // Whoever asks again wants it of this one too.
    let last = "UPDATE dead_letters SET wanted = NULL WHERE sequence = (SELECT MAX(sequence) FROM dead_letters)";
    verdict::execute(folder.path(), "product", last).await;
    let again = landscape.start_command(folder.path(), &["dead-letters", "replay", "--key", "1", "--json"]);
    eventually(SOON, "all are wanted again", async || match summary(&landscape, "wantedReplay").await {
        302 => Ok(()),
        other => Err(other),
    })
    .await;
    verdict::execute(folder.path(), "product", RELEASE).await;
    let again = again.ended().await;
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""), "{again:?}");
    let [outcome] = &*lines(&again.stdout) else { panic!("not of one service: {again:?}") };
    assert_eq!((&outcome["wanted"], &outcome["left"]), (&outcome["done"], &0.into()));
    assert_eq!(name(&landscape, 1).await, "whole");
}

#[tokio::test]
async fn a_service_that_dies_while_it_replays_is_named_and_goes_on_later() {
    let (folder, mut landscape, replay) = replaying(&["--timeout", "5"]).await;
    landscape.process.kill();
    let ended = replay.ended().await;
    let said = sentence(&ended);
    assert!(said.starts_with(&format!("product at {} cannot be reached: ", landscape.urls[1])), "{said}");
    assert!(said.ends_with("; the request is recorded there, and is carried out as soon as it can be"), "{said}");

    verdict::execute(folder.path(), "product", RELEASE).await;
    let landscape = Landscape::start(folder.path(), &[]).await;
    eventually(SOON, "the rest is replayed", async || match parked(&landscape).await {
        0 => Ok(()),
        left => Err(left),
    })
    .await;
}
