//! The page, as a browser shows it.

use crate::lab::{Kind, Lab};
use crate::words::{product, product_with};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use tempfile::TempDir;
use testkit::port::free_port;
use testkit::{Program, SOON, eventually, program};

/// Why there is no browser.
pub(crate) fn missing() -> Option<String> {
    ["chromium", "chromedriver"].into_iter().find_map(program::absent)
}

/// A browser without a window.
struct Browser {
    session: String,
    client: Client,
    _driver: Program,
    _profile: TempDir,
}

impl Browser {
    async fn start() -> Self {
        let port = free_port();
        let driver = Program::start(Command::new("chromedriver").arg(format!("--port={port}"))).unwrap();
        let (profile, client) = (tempfile::tempdir().unwrap(), Client::builder().no_proxy().build().unwrap());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let options = json!({"goog:chromeOptions": {"args": arguments}});
        let wanted = json!({"capabilities": {"alwaysMatch": options}});
        let sessions = format!("http://127.0.0.1:{port}/session");
        let session = eventually(SOON, "a browser", async || {
            let answer = client.post(&sessions).json(&wanted).send().await.map_err(|error| error.to_string())?;
            let answer: Value = answer.json().await.map_err(|error| error.to_string())?;
            let id = answer["value"]["sessionId"].as_str();
            id.map(|id| format!("{sessions}/{id}")).ok_or(answer.to_string())
        })
        .await;
        Self { session, client, _driver: driver, _profile: profile }
    }

    async fn tell(&self, method: Method, command: &str, body: Value) -> Value {
        let request = self.client.request(method, format!("{}{command}", self.session)).json(&body);
        let mut answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert!(answer["value"]["error"].is_null(), "{answer}");
        answer["value"].take()
    }

    /// The value of an expression on the page.
    async fn value(&self, expression: &str) -> Value {
        let script = json!({"script": format!("return {expression}"), "args": []});
        self.tell(Method::POST, "/execute/sync", script).await
    }

    /// Waits until an expression on the page has this value.
    async fn shows(&self, expression: &str, expected: Value) {
        eventually(SOON, &format!("{expected} as {expression}"), async || {
            let value = self.value(expression).await;
            if value == expected { Ok(()) } else { Err(value) }
        })
        .await;
    }
}

impl Drop for Browser {
    /// Ends the browser, also where the trial fails: the driver alone, killed, would leave it.
    fn drop(&mut self) {
        let session = self.session.strip_prefix("http://").and_then(|session| session.split_once('/'));
        let Some((host, path)) = session else { return };
        let Ok(mut driver) = TcpStream::connect(host) else { return };
        let request = format!("DELETE /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let _ = driver.set_read_timeout(Some(SOON)).and_then(|()| driver.write_all(request.as_bytes()));
        let _ = driver.read(&mut [0; 64]);
    }
}

pub(crate) async fn the_page_shows_what_is_registered_as_text_and_on_a_phone(kind: Kind) {
    let (lab, browser) = (Lab::new(kind).await, Browser::start().await);
    let url = lab.base.replace("/eureka", "/");
    let phone = json!({"width": 360, "height": 740});
    browser.tell(Method::POST, "/window/rect", phone).await;
    browser.tell(Method::POST, "/url", json!({"url": url})).await;
    browser.shows("document.querySelectorAll('#instances tr[data-instance]').length", json!(0)).await;
    browser.value("void (window.stays = true)").await;

    lab.register(product()).await;
    browser
        .shows("document.querySelector('#instances tr[data-instance] .status')?.textContent.trim()", json!("UP"))
        .await;
    browser.shows("document.querySelector('#registered').textContent.includes('h1:product:7001')", json!(true)).await;
    let hostile = "\"><img src=x onerror=window.ran=1><script>window.ran=1</script>";
    let metadata = json!({"zone": hostile});
    lab.register(product_with(json!({
        "instanceId": hostile, "hostName": hostile, "homePageUrl": "javascript:window.ran=1", "metadata": metadata,
    })))
    .await;
    browser.shows("document.querySelectorAll('#instances tr[data-instance]').length", json!(2)).await;
    browser
        .shows("document.querySelector('#instances').textContent.includes('<script>window.ran=1')", json!(true))
        .await;
    let foreign = "document.querySelectorAll('#instances img, #instances script, a[href^=javascript]').length";
    assert_eq!(browser.value(foreign).await, 0);
    assert_eq!(browser.value("window.ran ?? null").await, Value::Null);
    assert_eq!(browser.value("window.stays").await, true, "the page was not loaded again");
    // The window is as narrow as a browser lets it be; the page itself is as narrow as a phone.
    browser.value("void (document.documentElement.style.width = '360px')").await;
    let wide = "document.documentElement.scrollWidth - Math.max(360, window.innerWidth)";
    assert!(browser.value(wide).await.as_f64().unwrap() <= 0.0, "it scrolls sideways");
    let sentence = browser.value("document.querySelector('#self-preservation').textContent").await;
    assert!(!sentence.as_str().unwrap().is_empty());

    assert_eq!(lab.delete("/apps/PRODUCT/h1:product:7001").await, 200);
    browser.shows("document.querySelectorAll('#instances tr[data-instance]').length", json!(1)).await;
    browser.shows("document.querySelector('#cancelled').textContent.includes('h1:product:7001')", json!(true)).await;
}
