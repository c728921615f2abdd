//! The dead letters over HTTP.

use crate::{product, start};
use reqwest::Method;
use serde_json::{Value, json};
use shared::api::PRODUCTS;
use shared::messaging::{Headers, Outgoing};
use sqlx::migrate::Migrator;
use testkit::servers::{found, postgres};
use testkit::{Answer, Running, Sandbox};

const LETTERS: &str = "/actuator/deadletters";

#[tokio::test]
async fn letters_are_listed_page_by_page() {
    for sandbox in Sandbox::on_each_database().await {
        let mut service = start(&sandbox).await;
        let empty = service.get(LETTERS).await;
        let none = r#"{"deadLetters":[],"total":0,"next":null,"last":null,"summary":{"open":0,"failed":0,"parked":0,"invalid":0,"foundInvalid":0,"foreign":0,"parkedKeys":0,"oldestAgeSeconds":0,"wantedReplay":0,"wantedDrop":0}}"#;
        assert_eq!((empty.status, empty.text()), (200, none));
        let mut ids = Vec::new();
        for _ in 0..5 {
            ids.push(sandbox.publish(PRODUCTS, 1, "{bad").await);
        }
        service.letters(5).await;

        let (mut seen, mut after, mut pages) = (Vec::new(), 0, 0);
        loop {
            let page = service.get(&format!("{LETTERS}?after={after}&limit=2")).await.json();
            assert_eq!(page["total"], 5);
            let letters = page["deadLetters"].as_array().unwrap();
            seen.extend(letters.iter().map(|letter| letter["id"].as_str().unwrap().to_owned()));
            pages += 1;
            match &page["next"] {
                Value::Null => break,
                next => after = next.as_i64().unwrap(),
            }
        }
        assert_eq!((seen, pages), (ids, 3));
        assert_eq!(service.get(&format!("{LETTERS}?after=99")).await.json()["deadLetters"], json!([]));
        assert_eq!(service.get(&format!("{LETTERS}?limit=0")).await.json()["deadLetters"].as_array().unwrap().len(), 1);
        assert_eq!(service.get(&format!("{LETTERS}?limit=9999")).await.json()["next"], Value::Null);
        service.stop().await;
    }
}

#[tokio::test]
async fn a_letter_is_listed_with_what_became_of_it() {
    for sandbox in Sandbox::on_each_database().await {
        let mut service = start(&sandbox).await;
        sandbox.create(PRODUCTS, 1, product(1, "a")).await;
        let id = sandbox.create(PRODUCTS, 1, product(1, "b")).await;
        let mut letter = service.letters(1).await.remove(0);
        let created_at = letter["createdAt"].take();
        assert!(created_at.as_str().is_some_and(|time| time.ends_with('Z')), "{created_at}");
        let expected = json!({
            "sequence": 1, "id": id, "destination": "products", "partition": 0, "key": 1, "kind": "invalid",
            "cause": "Duplicate key, Product Id: 1", "attempts": 1, "generation": 0, "state": "waiting", "wanted": null,
            "createdAt": null
        });
        assert_eq!(letter, expected);
        service.stop().await;
    }
}

#[tokio::test]
async fn a_letter_is_shown_with_everything_it_came_with() {
    for sandbox in Sandbox::on_each_database().await {
        let mut service = start(&sandbox).await;
        let message = |id: &str, body: &'static [u8]| Outgoing {
            destination: PRODUCTS.name.to_owned(),
            id: id.to_owned(),
            key: 1,
            headers: Headers::from_iter([("traceparent".to_owned(), "00-1-2-3".into()), ("n".to_owned(), 7.into())]),
            body: body.into(),
        };
        let messages = [
            message("json", br#"{"eventType":"UPDATE","key":1}"#),
            message("text", b"no json"),
            message("bytes", b"\xff\x00"),
            message("empty", b""),
            message("a/b c", b"x"),
        ];
        sandbox.send(PRODUCTS, messages.to_vec()).await;
        let listed = service.letters(5).await;

        let whole = service.get(&format!("{LETTERS}/json")).await.json();
        for (field, value) in listed[0].as_object().unwrap() {
            assert_eq!(&whole[field], value, "{field}");
        }
        assert_eq!(whole["headers"], json!({"traceparent": "00-1-2-3", "n": 7}));
        assert_eq!(whole["origin"]["offset"], 0);
        assert_eq!((&whole["body"], whole.get("bodyBase64")), (&json!({"eventType": "UPDATE", "key": 1}), None));
        for (id, body, base64) in [
            ("text", Some(json!("no json")), None),
            ("empty", Some(json!("")), None),
            ("bytes", None, Some(json!("/wA="))),
            ("a%2Fb%20c", Some(json!("x")), None),
        ] {
            let whole = service.get(&format!("{LETTERS}/{id}")).await.json();
            assert_eq!((whole.get("body"), whole.get("bodyBase64")), (body.as_ref(), base64.as_ref()), "{id}");
        }
        service.stop().await;
    }
}

#[tokio::test]
async fn what_cannot_be_listed_has_the_one_body() {
    for sandbox in Sandbox::on_each_database().await {
        let service = start(&sandbox).await;
        let sentence =
            r#""Invalid query: after, limit and key are whole numbers; kind is failed, parked, invalid or foreign"}"#;
        for (path, query, status, error, message) in [
            (LETTERS, "?after=x", 400, "Bad Request", sentence),
            (LETTERS, "?limit=-1", 400, "Bad Request", sentence),
            (LETTERS, "?limit=", 400, "Bad Request", sentence),
            (LETTERS, "?kind=%00", 400, "Bad Request", sentence),
            ("/actuator/deadletters/%00", "", 404, "Not Found", r#""No dead letter found for id: \u0000"}"#),
            ("/actuator/deadletters/nope", "", 404, "Not Found", r#""No dead letter found for id: nope"}"#),
            ("/actuator/deadletters/1/2", "", 404, "Not Found", "null}"),
        ] {
            let answer = service.get(&format!("{path}{query}")).await;
            let expected = format!(r#"{{"path":"{path}","status":{status},"error":"{error}","message":{message}"#);
            assert_eq!((answer.status, answer.failure()), (status, expected), "{path}{query}");
        }
        let answer = Answer::to(service.request(Method::PUT, LETTERS)).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET,HEAD")));
        assert!(answer.failure().contains("Request method 'PUT' is not supported."));
        service.stop().await;
    }
}

/// A decision on dead letters, with a token or without.
async fn decide(service: &Running, what: &str, token: Option<&str>, body: &str) -> Answer {
    let request =
        service.request(Method::POST, &format!("{LETTERS}/{what}")).header("content-type", "application/json");
    let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
    Answer::to(request.body(body.to_owned())).await
}

#[tokio::test]
async fn nobody_decides_without_the_token() {
    let sandbox = Sandbox::new().await;
    let service = start(&sandbox).await;
    let off = decide(&service, "replay", Some("secret"), r#"{"all":true}"#).await;
    assert_eq!(off.status, 403);
    assert!(off.text().contains("DEAD_LETTERS_TOKEN turns them on"), "{}", off.text());
    service.stop().await;

    let sandbox = Sandbox::with([("DEAD_LETTERS_TOKEN", "secret")]).await;
    let service = start(&sandbox).await;
    for what in ["replay", "drop", "import"] {
        for (token, sentence) in [
            (None, "Decisions on dead letters need a bearer token"),
            (Some("wrong"), "The token is not the one of DEAD_LETTERS_TOKEN"),
        ] {
            // Whatever else is wrong: who brings no token learns nothing more.
            let answer = decide(&service, what, token, "{").await;
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")));
            assert!(answer.text().contains(sentence), "{}", answer.text());
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_decision_that_cannot_be_understood_or_carried_out_says_why() {
    let sandbox = Sandbox::with([("DEAD_LETTERS_TOKEN", "secret")]).await;
    refuses(&sandbox).await;
    if let Some(server) = found(postgres().await) {
        let url = server.database().await;
        refuses(&Sandbox::with([("DEAD_LETTERS_TOKEN", "secret"), ("DATABASE_URL", url.as_str())]).await).await;
    }
}

async fn refuses(sandbox: &Sandbox) {
    let mut service = start(sandbox).await;
    sandbox.create(PRODUCTS, 1, product(1, "a")).await;
    let id = sandbox.create(PRODUCTS, 1, product(1, "b")).await;
    service.letters(1).await;
    for (body, status, sentence) in [
        (r"{}", 400, "Exactly one of id, key and all must say which dead letters are meant"),
        (r#"{"key":1,"all":true}"#, 400, "Exactly one of id, key and all"),
        (r#"{"all":false}"#, 400, "Exactly one of id, key and all"),
        (r#"{"key":"one"}"#, 400, r#""field":"key","value":"one""#),
        (r#"{"keys":1}"#, 400, "keys"),
        (r#"{"id":"nope"}"#, 404, "No dead letter found for id: nope"),
        (r#"{"id":"\u0000"}"#, 404, "No dead letter found for id: "),
        (r#"{"id":"nope","upto":1}"#, 400, ""),
        (r#"{"upto":1}"#, 400, ""),
        (r#"{"key":99}"#, 202, r#"{"wanted":0,"upto":0}"#),
        (r#"{"all":true}"#, 202, r#"{"wanted":0,"upto":0}"#),
    ] {
        for what in ["replay", "drop"] {
            let answer = decide(&service, what, Some("secret"), body).await;
            assert_eq!(answer.status, status, "{what} {body}: {}", answer.text());
            assert!(answer.text().contains(sentence), "{what} {body}: {}", answer.text());
        }
    }
    let upto = r#"{"all":true,"upto":1}"#;
    assert_eq!(decide(&service, "drop", Some("secret"), upto).await.text(), r#"{"wanted":0,"upto":0}"#);
    let endless = decide(&service, "replay", Some("secret"), upto).await;
    assert_eq!(endless.status, 400);
    assert!(endless.text().contains(r#""field":"upto""#), "{}", endless.text());
    let imported = decide(&service, "import", Some("secret"), "").await;
    assert_eq!((imported.status, imported.text()), (200, r#"{"imported":0,"known":0,"more":false}"#));

    let one = format!(r#"{{"id":"{id}"}}"#);
    assert_eq!(decide(&service, "drop", Some("secret"), &one).await.json()["wanted"], 1);
    service.letters(0).await;
    let closed = decide(&service, "replay", Some("secret"), &one).await;
    assert_eq!(closed.status, 409);
    assert!(closed.text().contains("is closed already"), "{}", closed.text());
    service.stop().await;
}

#[tokio::test]
async fn what_stands_open_is_counted() {
    for sandbox in Sandbox::on_each_database().await {
        let mut service = start(&sandbox).await;
        for _ in 0..3 {
            sandbox.publish(PRODUCTS, 1, "{bad").await;
        }
        service.letters(3).await;
        let listed = service.get(&format!("{LETTERS}?kind=invalid&limit=2")).await.json();
        assert_eq!((&listed["total"], &listed["summary"]["invalid"]), (&json!(3), &json!(3)));
        assert_eq!(service.get(&format!("{LETTERS}?kind=failed")).await.json()["total"], 0);
        assert_eq!(service.get(&format!("{LETTERS}?key=1")).await.json()["total"], 0, "it says no key");
        let health = service.get("/actuator/health").await.json();
        assert_eq!(
            (&health["status"], &health["components"]["deadLetters"]["details"]["open"]),
            (&json!("UP"), &json!(3))
        );
        let open = service.get("/actuator/metrics/dead.letters.open?tag=kind:invalid").await.json();
        assert_eq!(open["measurements"][0]["value"], 3.0);

        // One of them long ago, and as if two keys were parked.
        let database = sandbox.platform.database("product", &Migrator::DEFAULT).await.unwrap();
        let mut transaction = database.begin().await.unwrap();
        for sql in [
            "UPDATE dead_letters SET kind = 'failed', event_key = sequence WHERE sequence <= 2",
            "UPDATE dead_letters SET created_at = created_at - 60000 WHERE sequence = 1",
        ] {
            sqlx::query(sql).execute(&mut *transaction).await.unwrap();
        }
        transaction.commit().await.unwrap();
        database.close().await;
        let health = service.get("/actuator/health/deadLetters").await.json();
        let details = &health["details"];
        assert_eq!(
            (&details["failed"], &details["invalid"], &details["parkedKeys"]),
            (&json!(2), &json!(1), &json!(2))
        );
        assert!(details["oldestAgeSeconds"].as_i64() >= Some(60), "{details}");
        let measured = async |name: &str| {
            let meter = service.get(&format!("/actuator/metrics/dead.letters.{name}")).await.json();
            meter["measurements"][0]["value"].as_f64()
        };
        assert_eq!(measured("parked.keys").await, Some(2.0));
        assert!(measured("oldest.age").await >= Some(60.0));
        service.stop().await;
    }
}
