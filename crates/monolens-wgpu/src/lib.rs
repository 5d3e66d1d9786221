//! Runs a graph with WGSL shaders on wgpu, natively and in the browser.

pub mod shaders;
