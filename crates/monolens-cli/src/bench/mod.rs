//! What the benchmarks share: repetition, the work that a step is, the limits of the device, tables.

pub mod driver;
pub mod limits;
pub mod mmoe;
pub mod ops;
pub mod plot;
pub mod quality;
pub mod table;
pub mod timing;
#[cfg(feature = "wgpu")]
pub mod tune;
pub mod work;
