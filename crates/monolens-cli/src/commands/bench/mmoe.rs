//! `monolens bench mmoe`: the routed feed-forward network of one layer, against computing both experts for every row, and
//! against gathering the rows of each modality.

use crate::args::{DeviceArgs, WeightArgs};
use crate::bench::mmoe::{Round, Ways, load, mask};
use crate::bench::plot::{Line, plot};
use crate::bench::table::{Cell, Format, Table, number};
use crate::bench::timing::Timing;
use crate::exit::Outcome;
use crate::session::device_line;
use crate::source::{ModelSource, RandomArgs};
use anyhow::{Context, Result, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use monolens_engine::open_backend;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Options of `monolens bench mmoe`.
#[derive(Args, Clone, Debug)]
pub struct MmoeArgs {
    /// A model folder or .safetensors file, for its sizes (default: the bundled checkpoint)
    pub model: Option<PathBuf>,
    /// A random model's sizes.
    #[command(flatten)]
    pub random: RandomArgs,
    /// How weights are stored.
    #[command(flatten)]
    pub weights: WeightArgs,
    /// Tokens of the batch
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "256,1024",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub tokens: Vec<u32>,
    /// Share of them that is visual, in per cent
    #[arg(long, value_name = "P,P", value_delimiter = ',', default_value = "0,25,50,75,90,100",
        value_parser = clap::value_parser!(u8).range(0..=100))]
    pub visual: Vec<u8>,
    /// Rounds of each mix at most, after one for each number of tokens that does not count
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub repeat: u16,
    /// Seconds after which a mix has no further round
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    pub seconds: f64,
    /// Draws the ratios into this SVG file
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    /// How the table is written
    #[arg(long, value_enum, default_value = "md")]
    pub format: Format,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

const COLUMNS: [&str; 12] = [
    "tokens",
    "visual",
    "order",
    "rounds",
    "routed, s",
    "spread",
    "both, s",
    "both / routed",
    "spread of both / routed",
    "gathered, s",
    "gathered / routed",
    "spread of gathered / routed",
];

/// A mix of rows.
#[derive(Clone, Copy, Debug)]
struct Mix {
    tokens: usize,
    /// In per cent.
    share: u8,
    interleaved: bool,
}

impl Mix {
    fn visual(self) -> usize {
        self.tokens * usize::from(self.share) / 100
    }

    fn order(self) -> &'static str {
        if self.interleaved { "interleaved" } else { "runs" }
    }
}

/// Medians of the rounds of a mix; ratios are of the two in one round, so that what else goes on touches both.
struct Compared {
    mix: Mix,
    routed: Timing,
    both: Timing,
    gathered: Timing,
    both_ratio: Timing,
    gathered_ratio: Timing,
}

impl Compared {
    fn of(mix: Mix, rounds: &[Round]) -> Self {
        let timing = |of: &dyn Fn(&Round) -> f64| Timing::of(rounds.iter().map(of).collect());
        Self {
            mix,
            routed: timing(&|r| r.routed),
            both: timing(&|r| r.both),
            gathered: timing(&|r| r.gathered),
            both_ratio: timing(&|r| r.both / r.routed),
            gathered_ratio: timing(&|r| r.gathered / r.routed),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// For a device that is not there or cannot hold the weights.
pub fn run(args: &MmoeArgs, quiet: bool) -> Result<Outcome> {
    ensure!(args.seconds >= 0.0, "--seconds: expected 0 or more, got {}", args.seconds);
    if let Some(path) = &args.plot {
        ensure!(
            path.extension().is_some_and(|e| e == "svg"),
            "--plot: expected a name that ends in .svg, got {}",
            path.display()
        );
        // Found out before anything is measured; what is there stays until then.
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        file.with_context(|| format!("cannot write {}", path.display()))?;
    }
    let source = ModelSource::of(&args.random, args.model.as_ref())?;
    let model = source.open()?;
    let d = &model.config().decoder;
    let sizes = [d.hidden_size, d.intermediate_size];
    let mut opened = pollster::block_on(open_backend(&args.device.choice()))?;
    load(&mut *opened.backend, args.weights.weights, sizes)?;
    let most =
        args.tokens.iter().map(|&n| n as usize).max().context("expected some numbers of tokens, got none")?;
    let mixes = mixes(args);
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(mixes.len() as u64) };
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} mixes, {elapsed} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(500));
    let device = device_line(opened.backend.device());
    let mut ways = Ways::new(&mut *opened.backend, sizes, most)?;
    let mut results: Vec<Compared> = Vec::new();
    let weights = args.weights.weights.map_or("bf16".to_owned(), |wish| wish.to_string());
    let mut table = Table::new(&COLUMNS, args.format);
    let facts = [("model", source.name()), ("weights", weights.clone()), ("device", device.clone())];
    table.facts(facts.map(|(name, value)| (name, json!(value))));
    for mix in mixes {
        bar.set_message(format!("{} tokens, {} % visual, {}", mix.tokens, mix.share, mix.order()));
        let mask = mask(mix.tokens, mix.visual(), mix.interleaved);
        if results.last().is_none_or(|last| last.mix.tokens != mix.tokens) {
            ways.round(&mask)?;
        }
        let (begun, mut rounds) = (Instant::now(), Vec::new());
        while rounds.is_empty()
            || rounds.len() < usize::from(args.repeat) && begun.elapsed().as_secs_f64() < args.seconds
        {
            rounds.push(ways.round(&mask)?);
        }
        let compared = Compared::of(mix, &rounds);
        bar.suspend(|| table.row(row(&compared)))?;
        results.push(compared);
        bar.inc(1);
    }
    bar.finish_and_clear();
    if !quiet {
        eprintln!("widths {sizes:?}, weights {weights}, {device}");
        eprintln!("{}", break_even(&results));
    }
    table.finish()?;
    if let Some(path) = &args.plot {
        let title = format!("{} x {}", sizes[0], sizes[1]);
        plot(path, &title, &lines(&results)).with_context(|| format!("cannot draw {}", path.display()))?;
    }
    Ok(Outcome::Fine)
}

/// Every number of tokens with every share, in runs and interleaved where there are both kinds.
fn mixes(args: &MmoeArgs) -> Vec<Mix> {
    let mut all = Vec::new();
    for tokens in args.tokens.iter().map(|&n| n as usize) {
        for &share in &args.visual {
            let mix = Mix { tokens, share, interleaved: false };
            all.push(mix);
            if (1..tokens).contains(&mix.visual()) {
                all.push(Mix { interleaved: true, ..mix });
            }
        }
    }
    all
}

fn row(r: &Compared) -> Vec<Cell> {
    vec![
        json!(r.mix.tokens).into(),
        json!(format!("{} %", r.mix.share)).into(),
        json!(r.mix.order()).into(),
        json!(r.routed.count).into(),
        number(r.routed.median),
        r.routed.spread_cell(),
        number(r.both.median),
        number(r.both_ratio.median),
        r.both_ratio.spread_cell(),
        number(r.gathered.median),
        number(r.gathered_ratio.median),
        r.gathered_ratio.spread_cell(),
    ]
}

/// Where routing stops being the faster way.
fn break_even(results: &[Compared]) -> String {
    let slower: Vec<String> = results
        .iter()
        .filter(|r| r.both_ratio.median < 1.0)
        .map(|r| {
            format!(
                "{} tokens, {} % visual, {} ({:.2})",
                r.mix.tokens,
                r.mix.share,
                r.mix.order(),
                r.both_ratio.median
            )
        })
        .collect();
    match slower.is_empty() {
        true => "routing is never slower than computing both: no break-even in this table".into(),
        false => format!("routing is slower than computing both at: {}", slower.join("; ")),
    }
}

/// A line for each number of tokens and order, against each of the other ways.
fn lines(results: &[Compared]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for r in results {
        for (against, ratio) in [("both", r.both_ratio.median), ("gathered", r.gathered_ratio.median)] {
            let name = format!("{} tokens, {}", r.mix.tokens, r.mix.order());
            let at = lines.iter().position(|line| line.name == name && line.against == against);
            let at = at.unwrap_or_else(|| {
                lines.push(Line { name, against, dashed: r.mix.interleaved, points: Vec::new() });
                lines.len() - 1
            });
            lines[at].points.push((f64::from(r.mix.share), ratio));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_break_even_is_told() {
        let mix = Mix { tokens: 64, share: 50, interleaved: true };
        let result = |routed| Compared::of(mix, &[Round { routed, both: 2.0, gathered: 1.0 }]);
        assert!(break_even(&[result(1.0)]).contains("never slower"));
        assert!(
            break_even(&[result(1.0), result(4.0)]).contains("64 tokens, 50 % visual, interleaved (0.50)")
        );
        let lines = lines(&[result(1.0), result(4.0)]);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].points, [(50.0, 2.0), (50.0, 0.5)]);
    }
}
