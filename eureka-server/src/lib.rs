//! A registry that Eureka's clients can use unchanged.

pub mod settings;
