//! `monolens-blocks [REQUEST]`: times blocks of a decoder layer; request and report are JSON ([`Request`]).

use anyhow::{Context, Result};
use monolens_blocks::{Request, run};

fn main() -> Result<()> {
    let text = std::env::args().nth(1).unwrap_or_else(|| "{}".into());
    let request: Request = serde_json::from_str(&text).context("the request")?;
    let report = pollster::block_on(run(&request))?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}
