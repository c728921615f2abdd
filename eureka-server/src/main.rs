//! The registry as a program of its own.

fn main() {}
