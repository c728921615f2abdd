use super::*;
use serde_json::Value;
use shared::messaging::embedded::EmbeddedBinder;
use shared::messaging::{Headers, Outgoing, ProducerBinding};
use std::io::Write;
use std::time::Duration;

async fn binder(folder: &tempfile::TempDir) -> EmbeddedBinder {
    let binder = EmbeddedBinder::open(folder.path(), Duration::from_secs(60)).await.unwrap();
    let binding = ProducerBinding {
        destination: "products".to_owned(),
        partitions: 2,
        required_groups: vec!["productsGroup".to_owned()],
    };
    let producer = binder.producer(&[binding]).await.unwrap();
    let message = |key: i32, body: &'static [u8]| Outgoing {
        destination: "products".to_owned(),
        id: format!("id-{key}"),
        key,
        headers: Headers::new(),
        body: body.into(),
    };
    producer.send(vec![message(2, b"{\"key\":2}"), message(1, b"\xff"), message(4, b"line\nline")]).await.unwrap();
    binder
}

fn text(out: Vec<u8>) -> String {
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn topics_are_listed_and_described() {
    let folder = tempfile::tempdir().unwrap();
    let binder = binder(&folder).await;
    let mut out = Vec::new();
    list(&binder, false, &mut out).await.unwrap();
    let listed = text(out);
    assert!(listed.starts_with("TOPIC     PARTITIONS  MESSAGES  GROUPS\nproducts  2           3 "), "{listed}");

    let mut out = Vec::new();
    describe(&binder, "products", false, &mut out).await.unwrap();
    let described = text(out);
    assert!(described.starts_with("Topic: products  PartitionCount: 2\n\nPARTITION  FIRST  END\n0 "), "{described}");
    assert!(described.contains("\nGROUP          PARTITION  SETTLED  LAG\n"), "{described}");

    let mut out = Vec::new();
    describe(&binder, "products", true, &mut out).await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&out).unwrap()["name"], "products");
}

#[tokio::test]
async fn an_unknown_topic_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let binder = binder(&folder).await;
    let error = describe(&binder, "orders", false, &mut Vec::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no topic \"orders\"; there are products");
    assert_eq!(tail(&binder, false, Some(2)).await.1, "the topic products has no partition 2; it has 2, from 0");
}

/// Takes what is written until somebody waits for more.
struct UntilFlushed(Vec<u8>);

impl Write for UntilFlushed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Err(std::io::Error::other("all is written"))
    }
}

/// What a tail of everything writes until nothing more is there, and how it ended.
async fn tail(binder: &EmbeddedBinder, json: bool, partition: Option<u32>) -> (String, String) {
    let args = TailArgs { topic: "products".to_owned(), partition, from_beginning: true, json };
    let mut out = UntilFlushed(Vec::new());
    let ended = tail::follow(binder, &args, &mut out).await.unwrap_err();
    (text(out.0), ended.to_string())
}

#[tokio::test]
async fn a_tail_shows_one_line_a_message_whatever_its_body_is() {
    let folder = tempfile::tempdir().unwrap();
    let binder = binder(&folder).await;
    let (lines, _) = tail(&binder, false, None).await;
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert!(lines.contains("id-2  {\"key\":2}\n") && lines.contains("id-4  line\\nline\n"), "{lines}");

    let (lines, _) = tail(&binder, true, None).await;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |id: &str| lines.iter().find(|line| line["id"] == id).unwrap();
    assert_eq!(of("id-2")["body"]["key"], 2);
    assert_eq!(of("id-4")["body"], "line\nline");
    assert_eq!((&of("id-1")["bodyBase64"], of("id-1").get("body")), (&"/w==".into(), None));

    let one = tail(&binder, false, Some(1)).await.0.lines().count();
    assert_eq!(one + tail(&binder, false, Some(0)).await.0.lines().count(), 3);
}
