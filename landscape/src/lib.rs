//! Every service in one process, and the operator's command line.
//!
//! - [`everything`]: the deployment diagram as code
//! - [`topics`], [`dead_letters`]: looks at a landscape, beside it
//! - [`load`]: writes composites and verifies that they arrived

pub mod dead_letters;
pub mod everything;
pub mod load;
mod output;
pub mod topics;
