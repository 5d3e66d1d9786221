//! The shaders as plain WGSL, one text per permutation, embedded by the build script.

mod list;

pub use list::{SHADERS, Shader, name_of};

mod sources {
    include!(concat!(env!("OUT_DIR"), "/sources.rs"));
}

/// Of all shaders: what was measured with others says nothing of these.
pub const HASH: u64 = sources::HASH;

/// Every permutation: its name and its WGSL.
pub fn all() -> &'static [(&'static str, &'static str)] {
    sources::SOURCES
}

/// The WGSL of a permutation.
pub fn source(name: &str) -> Option<&'static str> {
    let all = all();
    all.binary_search_by_key(&name, |(n, _)| n).ok().map(|at| all[at].1)
}
