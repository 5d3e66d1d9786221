//! Golden data of the reference implementation against this engine.
//!
//! A set is a folder of folders: model folders with `golden.json` and `golden.safetensors`, a `preprocess` folder, a
//! tokenizer folder, `images`. Each case starts from its question, history and images; what comes after one another is
//! compared in that order, and each comparison is a [`report::Row`].

mod batch;
mod case;
pub mod compare;
pub mod golden;
pub mod images;
mod lab;
mod model;
mod preprocess;
mod prompt;
pub mod report;
mod set;
mod stages;
mod tokenizer;
mod variants;

use crate::args::DeviceArgs;
use anyhow::{Result, bail};
use report::{Report, Row, Rows};
use set::Member;
use std::path::PathBuf;

/// What is to be verified.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// A member of a set, or a whole set.
    pub folder: PathBuf,
    /// Golden data of a model folder, when they lie elsewhere.
    pub golden: Option<PathBuf>,
    /// The input images, when they lie elsewhere.
    pub images: Option<PathBuf>,
    /// Where to compute; arithmetic is always f32.
    pub device: DeviceArgs,
}

/// Verifies a folder; `on_row` hears of each comparison as it is made.
///
/// # Errors
/// When there is nothing to verify, no folder where one was named, or golden data cannot be read. What the engine gets wrong is in the report.
pub fn verify(request: &Request, on_row: &mut dyn FnMut(&Row)) -> Result<Report> {
    if let Some(images) = request.images.as_deref().filter(|folder| !folder.is_dir()) {
        bail!("--images: expected a folder, and {} is none", images.display());
    }
    let members = set::find(request)?;
    let mut report = Report::default();
    for member in &members {
        let mut rows = Rows::new(member.name(), &mut report, on_row);
        match member {
            Member::Tokenizer { folder, .. } => tokenizer::verify(folder, &mut rows)?,
            Member::Preprocess { folder, .. } => {
                let images = images::Images::find(request.images.as_deref(), folder);
                preprocess::verify(folder, &images, &mut rows)?;
            }
            Member::Model { folder, golden, .. } => {
                let images =
                    images::Images::find(request.images.as_deref(), golden.parent().unwrap_or(folder));
                model::verify(folder, golden, &images, &request.device, &mut rows)?;
            }
        }
    }
    Ok(report)
}
