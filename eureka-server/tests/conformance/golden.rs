//! What Netflix's and Spring's clients said when they were recorded, and the same answers from both registries.

use crate::lab::{Kind, Lab};
use crate::words::{PRODUCT, masked, product, product_with};
use reqwest::Method;
use serde_json::json;
use testkit::Answer;

const NETFLIX: &str = include_str!("../golden/netflix-client-requests.txt");
const SPRING: &str = include_str!("../golden/spring-client-requests.txt");

/// A request as a client sent it.
#[derive(Debug)]
struct Said {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Said {
    fn new(method: &str, path: &str, accept: &str, body: String) -> Self {
        let headers = [("Accept", accept), ("Content-Type", "application/json")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { method: method.parse().unwrap(), path: path.to_owned(), headers, body }
    }

    /// All requests of a recording: a request line, headers, and a body that begins with a brace.
    fn all(recording: &str) -> Vec<Self> {
        let mut all = Vec::<Self>::new();
        for line in recording.lines().filter(|line| !line.is_empty()) {
            if let Some((name, value)) = line.split_once(": ").filter(|_| !line.starts_with('{')) {
                // How it came is not what was said; what is packed cannot be compared.
                if !["Host", "Connection", "Accept-Encoding"].contains(&name) {
                    all.last_mut().unwrap().headers.push((name.to_owned(), value.to_owned()));
                }
            } else if line.starts_with('{') {
                line.clone_into(&mut all.last_mut().unwrap().body);
            } else {
                let (method, path) = line.split_once(" /eureka").unwrap();
                let (method, path) = (method.parse().unwrap(), path.to_owned());
                all.push(Self { method, path, headers: Vec::new(), body: String::new() });
            }
        }
        all
    }

    async fn to(&self, lab: &Lab) -> Answer {
        let request = lab.request(self.method.clone(), &self.path).body(self.body.clone());
        let headers = self.headers.iter();
        Answer::to(headers.fold(request, |request, (name, value)| request.header(name, value))).await
    }
}

/// A client lists, registers, asks for changes, renews, is down, renews, and leaves.
pub(crate) async fn recorded_clients_are_answered_as_they_expect(kind: Kind) {
    for recording in [NETFLIX, SPRING] {
        let lab = Lab::new(kind).await;
        let mut codes = Vec::new();
        for said in Said::all(recording) {
            codes.push(said.to(&lab).await.status);
        }
        assert_eq!(codes, [200, 204, 200, 200, 204, 200, 200]);
        assert_eq!(lab.hash().await, "");
    }
}

/// Status, type and body are the same to the letter, but for times and the number of the delta.
pub(crate) async fn ours_answers_the_same_to_the_letter(real: Kind) {
    let (real, ours) = (Lab::new(real).await, Lab::new(Kind::Ours).await);
    let said = script().into_iter().chain(Said::all(NETFLIX)).chain(Said::all(SPRING));
    let mut differences = Vec::new();
    for said in said {
        let (expected, got) = (said.to(&real).await, said.to(&ours).await);
        // Where nothing is read by a program, it is of no type; deltas tell what other trials did.
        let whole = !expected.body.is_empty() && !said.path.starts_with("/apps/delta");
        let seen = |answer: &Answer| {
            let text = masked(if whole { answer.text() } else { "" });
            (
                answer.status,
                answer.header("content-type").filter(|_| whole && answer.status == 200).map(str::to_owned),
                text,
            )
        };
        if seen(&got) != seen(&expected) {
            let (expected, got) = (seen(&expected), seen(&got));
            differences.push(format!("{} {} {:?}\n  {expected:?}\n  {got:?}", said.method, said.path, said.body));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn script() -> Vec<Said> {
    let (json, xml) = ("application/json", "application/xml");
    let second = product_with(json!({
        "instanceId": "h 2ü", "app": "second", "hostName": "h2", "metadata": {}, "homePageUrl": "http://h2/?a=b&c=<d>", "sid": "na",
        "asgName": "group", "appGroupName": "all", "overriddenstatus": "OUT_OF_SERVICE", "countryId": 7,
        "isCoordinatingDiscoveryServer": true, "secureHealthCheckUrl": "https://h2/", "vipAddress": "a,b",
    }));
    let amazon = product_with(json!({
        "instanceId": "i-1", "app": "amazon", "leaseInfo": null, "metadata": {"a_b": "c d", "$x": "<&>", "é": "ü\n"},
        "dataCenterInfo": "AMAZON",
    }));
    // The original reads the name only before the metadata.
    let center = r#"{"@class":"com.netflix.appinfo.AmazonInfo","name":"Amazon","metadata":{"instance-id":"i-1"}}"#;
    let amazon = amazon.to_string().replace(r#""AMAZON""#, center);
    let mut script = vec![
        Said::new("POST", "/apps/product", json, product().to_string()),
        Said::new("POST", "/apps/SECOND", json, second.to_string()),
        Said::new("POST", "/apps/AMAZON", json, amazon),
        Said::new("PUT", &format!("{PRODUCT}/metadata?management.port=%3C%3E"), json, String::new()),
    ];
    let paths = [
        PRODUCT,
        "/apps/SECOND/h%202%C3%BC",
        "/instances/i-1",
        "/apps/AMAZON",
        "/apps/amazon/",
        "/vips/b",
        "/vips/a",
        "/svips/nope",
        "/apps/NOPE",
        "/instances/nope",
        "/vips/nope",
        "/v2/apps/AMAZON",
    ];
    let reads =
        || paths.iter().flat_map(|path| [json, xml].map(|accept| Said::new("GET", path, accept, String::new())));
    script.extend(reads());
    for change in ["/status?value=OUT_OF_SERVICE", "/status?value=BOGUS", "?lastDirtyTimestamp=x", ""] {
        script.push(Said::new("PUT", &format!("{PRODUCT}{change}"), json, String::new()));
        script.extend(reads().take(2));
    }
    for body in
        ["{bad", "", "[]", "{}", r#"{"instance":{}}"#, r#"{"instance":null}"#, r#"{"instance":{"app":"product"}}"#]
    {
        script.push(Said::new("POST", "/apps/product", json, body.to_owned()));
    }
    for path in [PRODUCT, "/apps/SECOND/h%202%C3%BC", "/apps/AMAZON/i-1", PRODUCT] {
        script.push(Said::new("DELETE", path, json, String::new()));
    }
    script.push(Said::new("GET", "/apps", json, String::new()));
    script
}
