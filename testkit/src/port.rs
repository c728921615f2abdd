//! Ports of those who cannot be told to take any.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;

/// An address that nobody has, and that this process gives nobody twice: who has it may be away for a while. What the
/// kernel chooses, it may choose for a connection a moment later: this is below that.
pub fn free_address() -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap();
    let chosen = || SocketAddr::from(([127, 0, 0, 1], fastrand::u16(20_000..30_000)));
    let is_free = |address: &SocketAddr| TcpListener::bind(address).is_ok() && given.insert(address.port());
    let found = std::iter::repeat_with(chosen).take(1000).find(is_free);
    found.expect("a free port from 20000 to 29999")
}

/// Its port.
pub fn free_port() -> u16 {
    free_address().port()
}
