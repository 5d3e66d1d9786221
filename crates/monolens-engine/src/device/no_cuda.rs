//! CUDA in a build without it.

use super::{BackendChoice, Opened, unavailable};
use monolens_graph::BackendError;

/// There is none.
pub(super) struct Cuda;

pub(super) fn open_asked(_: &BackendChoice, _: &Cuda) -> Result<Opened, BackendError> {
    Err(unavailable("CUDA", "this build is without it".into()))
}

pub(super) fn open_proven(_: &BackendChoice, _: &Cuda) -> Result<Opened, String> {
    Err("this build is without it".into())
}
