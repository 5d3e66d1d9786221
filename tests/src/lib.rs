//! What the tests across crates share: backends opened for `monolens-parity`, whose cases they are held to.

#[cfg(not(target_arch = "wasm32"))]
pub mod cuda;
pub mod parity;

#[cfg(feature = "wgpu")]
pub use monolens_wgpu::Tier;
