//! What is tried on a device: every operator, and a small model from its image to its answer.

use super::bundled;
use super::golden::{Case, Golden};
use crate::{Engine, EngineError, EngineOptions};
use monolens_graph::{Backend, BackendError};
use monolens_parity::Fusions;
use monolens_parity::cases::{self, DrawCase};
use monolens_parity::report::{self, Report, allow_bf16};
use monolens_parity::run::Runner;
use serde::{Deserialize, Serialize};
use std::ops::{ControlFlow, Range};
use web_time::Instant;

/// Opens a backend.
pub type Open<'a> = Box<dyn Fn() -> Result<Box<dyn Backend>, BackendError> + 'a>;

/// A way of a device to compute.
pub struct Way<'a> {
    /// For people: arithmetic, who multiplies.
    pub name: String,
    /// Whether activations stay f32: then limits are those of f32, and answers the official ones.
    pub is_exact: bool,
    /// Opens a backend that computes in this way.
    pub open: Open<'a>,
}

/// How much is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Numbers of the cases of each operator.
    pub cases: Range<usize>,
    /// Numbers of the cases of large sizes.
    pub large: Range<usize>,
}

impl Default for Extent {
    /// Every format of weights, keys and values, no mixture of modalities left out.
    fn default() -> Self {
        Self { cases: 1..11, large: 1..6 }
    }
}

/// Something that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What, and in which way.
    pub name: String,
    /// What went wrong.
    pub fault: Option<String>,
    /// How it went.
    pub detail: String,
    /// Seconds that it took.
    pub seconds: f64,
}

/// Tries all ways of a device.
pub async fn run(ways: &[Way<'_>], extent: &Extent) -> Vec<Check> {
    let mut checks = operators("operators", cases::all(), &extent.cases, ways).await;
    checks.extend(operators("large sizes", cases::large(), &extent.large, ways).await);
    for way in ways.iter().filter(|way| way.is_exact) {
        let start = Instant::now();
        let (fault, detail) = match model(way).await {
            Ok(detail) => (None, detail),
            Err(fault) => (Some(fault), String::new()),
        };
        let name = format!("the small golden model, {}", way.name);
        checks.push(Check { name, fault, detail, seconds: start.elapsed().as_secs_f64() });
    }
    checks
}

/// A way with what its cases gave so far.
struct Tried<'a> {
    way: &'a Way<'a>,
    runner: Result<Runner, BackendError>,
    report: Report,
    seconds: f64,
}

/// Holds all ways to the CPU reference in some cases of operators. The reference runs each case once.
async fn operators(
    name: &str,
    operators: Vec<(&'static str, DrawCase)>,
    numbers: &Range<usize>,
    ways: &[Way<'_>],
) -> Vec<Check> {
    let runner = |way: &Way<'_>| (way.open)().map(|backend| Runner::new(backend, Fusions::ALL));
    let tried = |way| Tried { way, runner: runner(way), report: Report::default(), seconds: 0.0 };
    let mut tried: Vec<Tried<'_>> = ways.iter().map(tried).collect();
    let mut reference = report::cpu(Fusions::NONE);
    for (operator, draw) in operators {
        for number in numbers.clone() {
            let case = draw(number);
            let want = match &mut reference {
                Ok(reference) => reference.run(&case).await,
                Err(error) => Err(error.to_string()),
            };
            for one in &mut tried {
                let start = Instant::now();
                let mut case = case.clone();
                if !one.way.is_exact {
                    allow_bf16(operator, &mut case);
                }
                match (&mut one.runner, &want) {
                    (Ok(runner), Ok(want)) => one.report.hold(runner, operator, &case, want).await,
                    (_, Err(error)) => one.report.failures.push(error.clone()),
                    (Err(_), _) => {}
                }
                one.seconds += start.elapsed().as_secs_f64();
            }
        }
    }
    tried.into_iter().map(|one| one.check(name)).collect()
}

impl Tried<'_> {
    fn check(self, name: &str) -> Check {
        let fault = match (&self.runner, &self.report.failures[..]) {
            (Err(error), _) => Some(error.to_string()),
            (Ok(_), []) => None,
            (Ok(_), [only]) => Some(only.clone()),
            (Ok(_), [first, rest @ ..]) => Some(format!("{first} (and {} more)", rest.len())),
        };
        let worst = self.report.shares.iter().max_by(|a, b| a.1.total_cmp(b.1));
        let worst = worst
            .map(|(name, share)| format!(", at most {:.0} % of the allowed error ({name})", share * 100.0));
        let detail = format!("{} operators{}", self.report.shares.len(), worst.unwrap_or_default());
        Check { name: format!("{name}, {}", self.way.name), fault, detail, seconds: self.seconds }
    }
}

/// Asks the small model what the official code was asked.
async fn model(way: &Way<'_>) -> Result<String, String> {
    let golden = bundled::golden().map_err(|e| e.to_string())?;
    let model = bundled::model().map_err(|e| e.to_string())?;
    let backend = (way.open)().map_err(|e| e.to_string())?;
    // Wide enough for kernels of many rows; decoding has those of few.
    let options = EngineOptions { chunk: 256, ..Golden::options() };
    let loaded = Engine::load(model, backend, options, &mut |_| ControlFlow::Continue(())).await;
    let mut engine = loaded.map_err(|e| e.to_string())?;
    let mut ids = 0;
    for case in &golden.cases {
        let got = answer(&mut engine, case).await.map_err(|e| e.to_string())?;
        if got != case.generated {
            return Err(format!("{}: ids {got:?}, the official code's are {:?}", case.name, case.generated));
        }
        ids += got.len();
    }
    Ok(format!("{ids} ids, all as the official code's"))
}

async fn answer(engine: &mut Engine, case: &Case) -> Result<Vec<u32>, EngineError> {
    let found = case.images.iter().map(|image| bundled::image(&image.file));
    let images: Vec<Vec<u8>> = found.flatten().map(<[u8]>::to_vec).collect();
    case.answer(engine, &images, async || {}).await
}
