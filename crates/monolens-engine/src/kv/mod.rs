//! Keys and values of tokens: fixed pages of a pool, shared by sequences that begin alike.

mod key;
mod pool;

pub use key::{PageKey, Row, TokenKey};
pub use pool::{PageId, PagePool};

use monolens_graph::batch::PAGE_SIZE;

/// Pages that `tokens` tokens take.
pub const fn pages_for(tokens: usize) -> usize {
    tokens.div_ceil(PAGE_SIZE)
}
