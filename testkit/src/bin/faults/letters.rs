//! Events that fail for a while, and the dead letters that come of it: they are replayed while faults go on.

use anyhow::Result;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use std::ops::Range;
use std::time::Duration;
use testkit::verdict::refusal;
use testkit::within;

/// What who decides on dead letters has to bring along.
pub(crate) const TOKEN: &str = "of-the-faults";
/// How long it may take until nothing is left of them: other faults come in between.
const REPLAYED: Duration = Duration::from_secs(180);
/// How many a refusal is to make, and how much longer it may last for that.
const MANY: i64 = 20;
const ARISEN: Duration = Duration::from_secs(15);
/// How many are dropped at the most.
const DROPPED: usize = 10;

/// Lets the tables at `url` refuse a part of the keys, and more of the `hot` ones.
pub(crate) async fn refuse(url: &str, hot: &Range<i32>, choice: u64) -> Result<()> {
    within(REPLAYED, "some keys are refused", async || refusal::begin(url, hot.clone(), choice).await).await
}

/// Waits until there are letters, but not for ever: where other faults keep the service from its events, few arise in time.
pub(crate) async fn arise(url: &str) {
    let _ = within(ARISEN, "there are dead letters", async || match refusal::letters(url).await {
        Ok(letters) if letters >= MANY => Ok(()),
        letters => Err(format!("{letters:?}")),
    })
    .await;
}

/// Drops the first letters of some keys, if somebody answers: those that create something, so that what stands behind them has
/// nothing to trip over. Returns the ids of all that may be dropped.
pub(crate) async fn drop_some(http: &Client, instances: &[String]) -> Result<Vec<String>> {
    let mut asked = Vec::new();
    let letters = |url: &String| format!("{url}/actuator/deadletters");
    let of = letters(&instances[0]);
    let listed = answer(http.get(format!("{of}?kind=failed&limit={DROPPED}")).send().await).await.unwrap_or_default();
    for id in listed["deadLetters"].as_array().into_iter().flatten().filter_map(|letter| letter["id"].as_str()) {
        let whole = answer(http.get(format!("{of}/{id}")).send().await).await.unwrap_or_default();
        if whole["body"]["eventType"] == "CREATE" {
            asked.push(id.to_owned());
            // Without an answer, nobody knows.
            let _ = http.post(format!("{of}/drop")).bearer_auth(TOKEN).json(&json!({ "id": id })).send().await;
        }
    }
    let mut turn = instances.iter().cycle();
    // A replay that came before would be what is wanted of them then.
    within(REPLAYED, "what is to be dropped is", async || {
        let listed = answer(http.get(letters(turn.next().expect("a circle has no end"))).send().await).await?;
        if listed["summary"]["wantedDrop"] == 0 { Ok(()) } else { Err(listed.to_string()) }
    })
    .await?;
    Ok(asked)
}

/// Ends that, and replays the letters of the service, which has these instances, until there are none.
pub(crate) async fn replay(http: &Client, url: &str, instances: &[String]) -> Result<()> {
    within(REPLAYED, "no key is refused", async || refusal::end(url).await).await?;
    let mut turn = instances.iter().cycle();
    within(REPLAYED, "no dead letters are left", async || {
        // The other one may be dead.
        let letters = format!("{}/actuator/deadletters", turn.next().expect("a circle has no end"));
        let listed = answer(http.get(format!("{letters}?limit=5")).send().await).await?;
        if listed["total"] == 0 {
            return Ok(());
        }
        let replay = http.post(format!("{letters}/replay")).bearer_auth(TOKEN).json(&json!({"all": true}));
        let wanted = answer(replay.send().await).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        Err(format!("{listed}; {wanted}"))
    })
    .await
}

async fn answer(sent: reqwest::Result<Response>) -> std::result::Result<Value, String> {
    let answer = sent.and_then(Response::error_for_status).map_err(|error| format!("{error:?}"))?;
    answer.json().await.map_err(|error| format!("{error:?}"))
}
