//! Reads of a core service and of composites, beside what HTTP alone allows, second by second in turn.

use crate::load::{closed, composite, get, post, until_well};
use crate::process::Process;
use crate::{Table, middle};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

const READERS: usize = 64;
const ROUNDS: usize = 5;
const SLICE: Duration = Duration::from_secs(1);
/// So many products are read.
const PRODUCTS: i32 = 1_000;

/// The server that does nothing else: its own program in this one, asked for by this word.
pub(crate) const BARE: &str = "bare-server";

pub(crate) async fn gets(table: &mut Table, on: &str, variables: &[(&str, &str)]) {
    let landscape = Process::start(variables).await;
    let [at, cores @ ..] = landscape.addresses;
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(BARE).args(cores.map(|core| format!("http://{core}")));
    let bare = Process::of(command, &[]).await;
    let from = composite().0 + 1;
    let written = closed(at, 16, SLICE, move || post(at)).await.well.len();
    let last = from + PRODUCTS.min(i32::try_from(written).unwrap()) - 1;
    until_well(at, move || get(at, &format!("/product-composite/{last}"))).await;
    let read = async |at: SocketAddr, path: &'static str| {
        let request = move || get(at, &format!("{path}{}", fastrand::i32(from..=last)));
        let measured = closed(at, READERS, SLICE, request).await;
        assert_eq!((measured.failed, measured.refused.len()), (0, 0));
        measured.rate()
    };
    let mut rates: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        rates[0].push(read(bare.addresses[0], "/product/").await);
        rates[1].push(read(cores[0], "/product/").await);
        rates[2].push(read(bare.addresses[0], "/product-composite/").await);
        rates[3].push(read(at, "/product-composite/").await);
    }
    let [http, core, fan_out, composites] = rates.map(middle);
    table.row(on, "GET of an answer that is there", &format!("{http:.0}/s"), "bare HTTP, no database");
    table.row(on, "GET of a product", &format!("{core:.0}/s"), &format!("{:.2} of bare", core / http));
    table.row(on, "GET of three in one", &format!("{fan_out:.0}/s"), "bare fan-out to our services");
    table.row(on, "GET of a composite", &format!("{composites:.0}/s"), &format!("{:.2} of bare", composites / fan_out));
}
