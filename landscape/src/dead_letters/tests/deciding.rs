//! Replay, drop and import against a service that carries out one decision whenever it is looked at.

use super::*;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use shared::messaging::retry::RetryPolicy;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Open letters by sequence. Those whose cause says so cannot be replayed, or are found invalid.
type Letters = Arc<Mutex<Vec<Value>>>;

const TOKEN: &str = "the token";

fn letters(of: &[(i64, &str, &str)]) -> Letters {
    let letter = |(at, (key, kind, cause)): (usize, &(i64, &str, &str))| {
        let mut letter = letter(i64::try_from(at).unwrap() + 1);
        let id = format!("id/{key}/{at}");
        for (field, value) in [("id", json!(id)), ("key", json!(key)), ("kind", json!(kind)), ("cause", json!(cause))] {
            letter[field] = value;
        }
        letter
    };
    Arc::new(Mutex::new(of.iter().enumerate().map(letter).collect()))
}

fn parks(letter: &Value) -> bool {
    letter["kind"] == "failed" || letter["kind"] == "parked"
}

/// Does what is wanted of the first letter that something is wanted of.
fn step(letters: &mut Vec<Value>) {
    let Some(at) = letters.iter().position(|letter| !letter["wanted"].is_null()) else { return };
    let key = letters[at]["key"].clone();
    let replay = letters[at]["wanted"] == "replay-key" || letters[at]["wanted"] == "replay";
    let cause = letters[at]["cause"].as_str().unwrap().to_owned();
    match cause.as_str() {
        "fails" if replay => {
            for letter in letters.iter_mut().filter(|letter| letter["key"] == key) {
                letter["wanted"] = Value::Null;
            }
        }
        "invalid" if replay => {
            letters[at]["kind"] = "invalid".into();
            letters[at]["generation"] = 1.into();
            letters[at]["wanted"] = Value::Null;
        }
        _ => {
            letters.remove(at);
            if let Some(kind) = cause.strip_prefix("makes another ") {
                let (kind, generation) = kind.split_once(' ').unwrap_or((kind, "0"));
                let mut live = letter(100);
                (live["key"], live["kind"]) = (key, kind.into());
                live["generation"] = generation.parse::<u32>().unwrap().into();
                letters.push(live);
            }
        }
    }
}

async fn page(State(letters): State<Letters>, Query(query): Query<HashMap<String, String>>) -> Json<Value> {
    let mut letters = letters.lock().unwrap();
    step(&mut letters);
    let number = |field: &str| query.get(field).map(|text| text.parse::<i64>().unwrap());
    let shown: Vec<&Value> = letters
        .iter()
        .filter(|letter| number("key").is_none_or(|key| letter["key"] == key))
        .filter(|letter| query.get("kind").is_none_or(|kind| letter["kind"] == **kind))
        .filter(|letter| letter["sequence"].as_i64() > number("after"))
        .collect();
    let last = letters.iter().filter_map(|letter| letter["sequence"].as_i64()).max();
    let count = |field: &str, value: &str| letters.iter().filter(|letter| letter[field] == value).count();
    let found = letters.iter().filter(|letter| letter["kind"] == "invalid" && letter["generation"] != 0).count();
    let summary = json!({
        "foundInvalid": found, "open": letters.len(), "failed": count("kind", "failed"), "parked": count("kind", "parked"),
        "invalid": count("kind", "invalid"), "foreign": 0, "parkedKeys": 0, "oldestAgeSeconds": 0,
        "wantedReplay": count("wanted", "replay-key"), "wantedDrop": count("wanted", "drop"),
    });
    Json(json!({ "deadLetters": shown, "total": shown.len(), "next": null, "last": last, "summary": summary }))
}

async fn one(State(letters): State<Letters>, Path(id): Path<String>) -> Result<Json<Value>, StatusCode> {
    let mut letters = letters.lock().unwrap();
    step(&mut letters);
    let mut letter = letters.iter().find(|letter| letter["id"] == id).ok_or(StatusCode::NOT_FOUND)?.clone();
    (letter["headers"], letter["origin"]) = (json!({}), json!({}));
    Ok(Json(letter))
}

async fn mark(letters: Letters, headers: HeaderMap, body: Value, many: &str, one: &str) -> Response {
    if headers.get("authorization").is_none_or(|given| *given != format!("Bearer {TOKEN}")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut letters = letters.lock().unwrap();
    let (mut wanted, mut upto) = (0, 0);
    let meant = |letter: &Value| match (&body["id"], &body["key"]) {
        (Value::String(id), _) => letter["id"] == **id,
        (_, Value::Null) => parks(letter),
        (_, key) => parks(letter) && letter["key"] == *key,
    };
    let seen = |letter: &Value| body["upto"].as_i64().is_none_or(|upto| letter["sequence"].as_i64() <= Some(upto));
    for letter in letters.iter_mut().filter(|letter| meant(letter) && seen(letter)) {
        letter["wanted"] = if body["id"].is_null() { many.into() } else { one.into() };
        (wanted, upto) = (wanted + 1, letter["sequence"].as_i64().unwrap());
    }
    match (wanted, &body["id"]) {
        (0, Value::String(_)) => StatusCode::NOT_FOUND.into_response(),
        _ => (StatusCode::ACCEPTED, Json(json!({ "wanted": wanted, "upto": upto }))).into_response(),
    }
}

async fn deciding(letters: &Letters) -> String {
    let replay = |State(letters): State<Letters>, headers: HeaderMap, Json(body): Json<Value>| {
        mark(letters, headers, body, "replay-key", "replay")
    };
    let drop = |State(letters): State<Letters>, headers: HeaderMap, Json(body): Json<Value>| {
        mark(letters, headers, body, "drop", "drop")
    };
    let routes = Router::new()
        .route("/actuator/deadletters", get(page))
        .route("/actuator/deadletters/{id}", get(one))
        .route("/actuator/deadletters/replay", post(replay))
        .route("/actuator/deadletters/drop", post(drop))
        .with_state(letters.clone());
    serve(routes).await
}

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    decision: Decision,
}

/// What a command writes, and how it ends.
async fn run(services: &Services, verb: Verb, options: &str) -> (String, Result<(), String>) {
    run_if(services, verb, options, |_, _| Ok(true)).await
}

/// Likewise of one that is carried out only if somebody is `sure`.
async fn run_if(
    services: &Services,
    verb: Verb,
    options: &str,
    sure: impl FnOnce(&[(&str, u64)], &[String]) -> anyhow::Result<bool>,
) -> (String, Result<(), String>) {
    let decision = <Cli as clap::Parser>::parse_from(["x"].into_iter().chain(options.split(' '))).decision;
    let mut out = Vec::new();
    let ended = decide::decide(services, verb, &decision, sure, &mut out).await.map_err(|error| error.to_string());
    (String::from_utf8(out).unwrap(), ended)
}

#[tokio::test]
async fn everything_is_replayed_in_all_services_and_what_stops_is_shown() {
    let product = letters(&[(1, "failed", "a"), (1, "parked", "b"), (2, "invalid", "c")]);
    let review = letters(&[(1, "failed", "a"), (2, "failed", "fails"), (2, "parked", "b"), (3, "failed", "invalid")]);
    let addresses = vec![("product", deciding(&product).await), ("review", deciding(&review).await)];
    let services = all_of(&addresses).with(Token::new(TOKEN));
    let (said, ended) = run(&services, Verb::Replay, "--all").await;
    let expected = "SERVICE  WANTED  DONE  INVALID  LEFT
product  2       2     0        0
review   4       1     1        2

These keys have stopped at their first letter:
SERVICE  KEY  ID      ATTEMPTS  CAUSE
review   2    id/2/1  3         fails
";
    assert_eq!(said, expected);
    assert_eq!(
        ended.unwrap_err(),
        "2 dead letters that park a key are left; `dead-letters show ID` says all of one\n\
         1 were found invalid and stay; `dead-letters list --kind invalid` shows them"
    );
    assert_eq!((product.lock().unwrap().len(), review.lock().unwrap().len()), (1, 3));
}

#[tokio::test]
async fn a_key_and_a_letter_are_decided_on_alone() {
    let all = letters(&[(1, "failed", "a"), (1, "parked", "b"), (2, "failed", "fails"), (3, "invalid", "c")]);
    let services = all_of(&[("product", deciding(&all).await)]).with(Token::new(TOKEN));
    let (said, ended) = run(&services, Verb::Replay, "--key 1 --json").await;
    assert_eq!(said, "{\"service\":\"product\",\"wanted\":2,\"done\":2,\"invalid\":0,\"left\":0,\"stopped\":[]}\n");
    assert_eq!((ended, all.lock().unwrap().len()), (Ok(()), 2));

    let (said, ended) = run(&services, Verb::Replay, "--id id/2/2 --json").await;
    let outcome: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&outcome["left"], &outcome["stopped"][0]["cause"]), (&1.into(), &"fails".into()));
    assert_eq!(ended.unwrap_err().split(';').next(), Some("1 dead letters with the id \"id/2/2\" are left"));

    for (options, left) in [("--id id/3/3", 1), ("--key 2", 0)] {
        assert_eq!(run(&services, Verb::Drop, options).await.1, Ok(()), "{options}");
        assert_eq!(all.lock().unwrap().len(), left);
    }
    let (said, ended) = run(&services, Verb::Drop, "--id nothing").await;
    assert_eq!(
        (said.as_str(), ended.unwrap_err().as_str()),
        ("", "no service has a dead letter with the id \"nothing\"")
    );
}

#[tokio::test]
async fn who_is_asked_gives_up_what_he_was_told_of_and_nothing_else() {
    let all = letters(&[(1, "failed", "a"), (1, "parked", "b"), (2, "failed", "c")]);
    let addresses = [("away", "http://127.0.0.1:9".to_owned()), ("product", deciding(&all).await)];
    let services = all_of(&addresses).with(Token::new(TOKEN));
    let no = |counts: &[(&str, u64)], away: &[String]| {
        assert_eq!((counts, away.len()), (&[("product", 3)][..], 1));
        Ok(false)
    };
    assert_eq!(run_if(&services, Verb::Drop, "--all", no).await, (String::new(), Ok(())));
    assert_eq!(all.lock().unwrap().len(), 3);

    // Another comes while he thinks.
    let yes = |_: &[(&str, u64)], _: &[String]| {
        let mut late = letter(4);
        late["cause"] = "late".into();
        all.lock().unwrap().push(late);
        Ok(true)
    };
    let (said, ended) = run_if(&services, Verb::Drop, "--all", yes).await;
    assert!(said.contains("product  3       3     0        1\n"), "{said}");
    let ended = ended.unwrap_err();
    assert!(ended.starts_with("away at http://127.0.0.1:9 cannot be reached: Connection refused"), "{ended}");
    assert!(ended.contains("\n1 dead letters that park a key are left"), "{ended}");
    assert_eq!(all.lock().unwrap()[0]["cause"], "late");

    // Nor the first one of all, where he was told of none.
    for scope in ["--all", "--key 1"] {
        let none = letters(&[]);
        let services = all_of(&[("product", deciding(&none).await)]).with(Token::new(TOKEN));
        let yes = |_: &[(&str, u64)], _: &[String]| {
            let mut first = letter(1);
            first["key"] = 1.into();
            none.lock().unwrap().push(first);
            Ok(true)
        };
        let _ = run_if(&services, Verb::Drop, scope, yes).await;
        assert_eq!(none.lock().unwrap().len(), 1, "{scope}");
    }
}

#[tokio::test]
async fn what_arrives_invalid_meanwhile_is_not_of_the_replay() {
    for scope in ["--all", "--key 1"] {
        let all = letters(&[(1, "failed", "makes another invalid"), (1, "invalid", "a"), (1, "parked", "invalid")]);
        all.lock().unwrap()[1]["generation"] = 2.into();
        let services = all_of(&[("product", deciding(&all).await)]).with(Token::new(TOKEN));
        let (said, ended) = run(&services, Verb::Replay, &format!("{scope} --json")).await;
        let outcome: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((&outcome["done"], &outcome["invalid"]), (&1.into(), &1.into()), "{scope}");
        assert!(ended.unwrap_err().starts_with("1 were found invalid and stay"));
        assert_eq!(all.lock().unwrap().len(), 3);
    }
}

#[tokio::test]
async fn what_comes_meanwhile_is_left_and_what_was_wanted_is_done() {
    // One that waits, and one that was replayed along and found invalid.
    for (late, left, invalid) in [("failed", 1, 0), ("invalid 1", 0, 1)] {
        for scope in ["--all", "--key 1"] {
            let all = letters(&[(1, "failed", &format!("makes another {late}")), (1, "parked", "a")]);
            let services = all_of(&[("product", deciding(&all).await)]).with(Token::new(TOKEN));
            let (said, ended) = run(&services, Verb::Replay, &format!("{scope} --json")).await;
            let outcome: Value = serde_json::from_str(&said).unwrap();
            assert_eq!((&outcome["done"], &outcome["left"]), (&2.into(), &left.into()), "{scope} {late}");
            assert_eq!(outcome["invalid"], invalid);
            assert!(ended.unwrap_err().starts_with("1 "));
        }
    }
}

#[tokio::test]
async fn a_key_without_letters_is_named_and_who_has_none_is_no_row() {
    let (product, review) = (letters(&[(1, "failed", "a")]), letters(&[(2, "invalid", "b")]));
    let addresses = vec![("product", deciding(&product).await), ("review", deciding(&review).await)];
    let services = all_of(&addresses).with(Token::new(TOKEN));
    for (verb, key) in [(Verb::Replay, 99), (Verb::Drop, 2)] {
        let (said, ended) = run(&services, verb, &format!("--key {key}")).await;
        let sentence = format!("no service has dead letters that park key {key}");
        assert_eq!((said.as_str(), ended), ("", Err(sentence)));
    }
    let (said, ended) = run(&services, Verb::Replay, "--key 1").await;
    assert_eq!((said.lines().count(), ended), (2, Ok(())), "{said}");
    let again = run(&services, Verb::Replay, "--key 1").await.1;
    assert_eq!(again.unwrap_err(), "no service has dead letters that park key 1");
}

#[tokio::test]
async fn who_does_not_get_on_is_not_waited_for_for_ever() {
    let stuck = |body: Value| async move { Json(body) };
    let page = json!({ "deadLetters": [], "next": null, "summary": { "failed": 1, "parked": 0, "foundInvalid": 0,
        "wantedReplay": 1, "wantedDrop": 0 } });
    let routes = Router::new()
        .route("/actuator/deadletters", get(move || stuck(page)))
        .route("/actuator/deadletters/replay", post(|| async { Json(json!({ "wanted": 1, "upto": 1 })) }));
    let services = all_of(&[("product", serve(routes).await)]).with(Token::new(TOKEN));
    let ended = run(&services, Verb::Replay, "--all --timeout 0").await.1.unwrap_err();
    assert!(ended.contains("has 1 letters left of it and does not get on; the request is recorded there"), "{ended}");
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    let all = letters(&[(1, "failed", "a")]);
    let conflict = || async {
        (StatusCode::CONFLICT, Json(json!({ "message": "The dead letter id/2 comes behind id/1 of the same key" })))
    };
    let list = "/actuator/deadletters";
    let off = Router::new()
        .route(list, get(page))
        .route("/actuator/deadletters/drop", post(|| async { StatusCode::FORBIDDEN }))
        .with_state(all.clone());
    let behind = Router::new()
        .route(list, get(page))
        .route("/actuator/deadletters/drop", post(conflict))
        .with_state(all.clone());
    let old = Router::new().route(list, get(page)).with_state(all.clone());
    let addresses = vec![
        ("product", deciding(&all).await),
        ("recommendation", serve(off).await),
        ("review", serve(behind).await),
        ("old", serve(old).await),
        ("away", "http://127.0.0.1:9".to_owned()),
    ];
    let services = all_of(&addresses).with(Token::new("another"));
    let (_, ended) = run(&services, Verb::Drop, "--all").await;
    let said = ended.unwrap_err();
    let said: Vec<&str> = said.lines().collect();
    for (line, expected) in said.iter().zip([
        "away at http://127.0.0.1:9 cannot be reached: Connection refused",
        "refuses the token: set DEAD_LETTERS_TOKEN to the one that it was started with",
        "lets nobody decide on dead letters: start it with DEAD_LETTERS_TOKEN",
        "answers 409 Conflict: The dead letter id/2 comes behind id/1 of the same key",
        "it does not know how to drop dead letters",
    ]) {
        assert!(line.contains(expected), "{line}");
    }
    assert_eq!((said.len(), all.lock().unwrap().len()), (5, 1));
}

#[tokio::test]
async fn all_that_others_left_is_imported() {
    let left = Arc::new(Mutex::new(vec![(500, 1, true), (20, 0, false)].into_iter()));
    let import = || async move {
        let (imported, known, more) = left.lock().unwrap().next().unwrap();
        Json(json!({ "imported": imported, "known": known, "more": more }))
    };
    let routes = Router::new().route("/actuator/deadletters/import", post(import));
    let addresses = vec![("product", serve(routes).await), ("review", serve(Router::new()).await)];
    let services = all_of(&addresses).with(Token::new(TOKEN));
    let mut out = Vec::new();
    let ended = import::import(&services, &import::RETRY, false, &mut out).await.unwrap_err().to_string();
    let expected = "SERVICE  IMPORTED  KNOWN\nproduct  520       1\nreview   0         0\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    assert!(ended.ends_with("it does not know how to import"), "{ended}");
}

#[tokio::test]
async fn a_service_that_cannot_import_just_now_is_asked_again_but_not_for_ever() {
    let retry = RetryPolicy { initial_interval: Duration::from_millis(1), ..import::RETRY };
    let busy = || (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "message": "The dead letters cannot be read now" })));
    let imported = || Json(json!({ "imported": 3, "known": 1, "more": true }));
    let nothing = || Json(json!({ "imported": 0, "known": 0, "more": false }));
    // It is busy again in between, each time as long as it is borne with.
    let long = (retry.max_attempts - 1) as usize;
    let answers = (0..long)
        .map(|_| busy().into_response())
        .chain([imported().into_response()])
        .chain((0..long).map(|_| busy().into_response()))
        .chain([nothing().into_response()]);
    let answers = Arc::new(Mutex::new(answers.collect::<Vec<Response>>().into_iter()));
    let soon = post(move || async move { answers.lock().unwrap().next().unwrap() });
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    let never = post(move || async move {
        counted.fetch_add(1, Ordering::SeqCst);
        busy()
    });
    let path = "/actuator/deadletters/import";
    let addresses = vec![
        ("product", serve(Router::new().route(path, never)).await),
        ("review", serve(Router::new().route(path, soon)).await),
    ];
    let services = all_of(&addresses).with(Token::new(TOKEN));
    let mut out = Vec::new();
    let ended = import::import(&services, &retry, false, &mut out).await.unwrap_err().to_string();
    let expected = "SERVICE  IMPORTED  KNOWN\nproduct  0         0\nreview   3         1\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    assert!(ended.starts_with("product at http://"), "{ended}");
    assert!(ended.ends_with("answers 503 Service Unavailable: The dead letters cannot be read now"), "{ended}");
    assert_eq!(asked.load(Ordering::SeqCst), retry.max_attempts);
}
