//! `monolens verify`: every stage against golden data of the reference implementation.

use crate::args::DeviceArgs;
use crate::exit::Outcome;
use crate::verify::{self, Request};
use anyhow::Result;
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

/// Options of `monolens verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// A model folder with golden data, a tokenizer or preprocess folder, or a whole set of them
    pub folder: PathBuf,
    /// Golden data elsewhere: golden.json; its tensors lie beside it
    #[arg(long, value_name = "FILE")]
    pub golden: Option<PathBuf>,
    /// The input images (default: `images` in the folder or beside it)
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Where to compute. Arithmetic is always f32, as in the reference.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Only rows that are over or skipped, and the summary
    #[arg(short, long)]
    pub brief: bool,
}

/// Runs the command.
///
/// # Errors
/// When the folder holds no golden data, or a file of it cannot be read.
pub fn run(args: &VerifyArgs, quiet: bool) -> Result<Outcome> {
    let bar = if quiet || args.json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    bar.enable_steady_tick(Duration::from_millis(120));
    let request = Request {
        folder: args.folder.clone(),
        golden: args.golden.clone(),
        images: args.images.clone(),
        device: args.device.clone(),
    };
    let mut on_row =
        |row: &verify::report::Row| bar.set_message(format!("{} {} {}", row.folder, row.case, row.what));
    let report = verify::verify(&request, &mut on_row);
    bar.finish_and_clear();
    let mut report = report?;
    let (passed, summary) = (report.passed(), report.summary());
    let mut out = io::stdout().lock();
    if args.json {
        let object = json!({
            "passed": passed,
            "summary": summary,
            "device": report.device,
            "rows": report.rows,
        });
        writeln!(out, "{object}")?;
    } else {
        if args.brief {
            report.rows.retain(|r| r.verdict != verify::report::Verdict::Ok);
        }
        if !report.rows.is_empty() {
            writeln!(out, "{}", report.table())?;
        }
        if !report.device.is_empty() {
            writeln!(out, "computed on {}", report.device)?;
        }
        writeln!(out, "{}: {summary}", if passed { "verified" } else { "NOT verified" })?;
    }
    Ok(if passed { Outcome::Fine } else { Outcome::Failed })
}
