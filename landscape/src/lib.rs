//! Every service in one process, and the operator's command line.
//!
//! - [`everything`]: the deployment diagram as code
//! - [`topics`]: a look at a landscape, beside it; [`dead_letters`]: likewise, and decisions
//! - [`token`]: by what an operator is known
//! - [`load`]: writes composites and verifies that they arrived

pub mod dead_letters;
pub mod everything;
pub mod load;
mod output;
pub mod token;
pub mod topics;
