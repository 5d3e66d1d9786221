//! Running a case on a backend.

use crate::case::Case;
use crate::compare::widened;
use monolens_graph::backend::{HostTensor, Job, Outputs};
use monolens_graph::plan::{Capabilities, Fusions, Plan};
use monolens_graph::{Axes, Axis, Backend, BackendError, DType};
use std::collections::BTreeMap;

/// Cases an operator, unless a runner says another number.
const CASES: usize = 64;

/// Runs per case; all must agree to the bit with one another.
const REPEATS: usize = 3;

/// Runs cases on one backend.
pub struct Runner {
    backend: Box<dyn Backend>,
    fusions: Fusions,
    cases: usize,
}

/// Outputs and, after the run, states of a case.
pub type Results = BTreeMap<String, HostTensor>;

impl Runner {
    /// Cases are planned with these fusions where the backend has them.
    pub fn new(backend: Box<dyn Backend>, fusions: Fusions) -> Self {
        Self { backend, fusions, cases: CASES }
    }

    /// The same with fewer cases an operator, for a slow backend.
    #[must_use]
    pub fn with_cases(self, cases: usize) -> Self {
        Self { cases, ..self }
    }

    /// Cases an operator.
    pub fn cases(&self) -> usize {
        self.cases
    }

    /// The backend's device and tier, for messages.
    pub fn name(&self) -> String {
        let d = self.backend.device();
        format!("{} {} [{}]", d.kind, d.name, d.tier)
    }

    /// Runs a case: first on poisoned inputs, so that memory which the case does not write shows, then three times.
    ///
    /// # Errors
    /// What the backend says, or that repeated runs differ.
    pub async fn run(&mut self, case: &Case) -> Result<Results, String> {
        self.run_now(case).await.map_err(|e| format!("{}: {e}", case.label))
    }

    async fn run_now(&mut self, case: &Case) -> Result<Results, Box<dyn std::error::Error>> {
        for (spec, format, bytes) in &case.weights {
            self.backend.begin_weight(spec, *format)?;
            // In two uneven pieces, as a stream would bring them.
            let (a, b) = bytes.split_at(bytes.len() / 3);
            self.backend.write_weight(a)?;
            self.backend.write_weight(b)?;
            self.backend.end_weight()?;
        }
        for s in &case.states {
            self.backend.allocate_state(&s.name, s.dtype, s.rows, s.width)?;
        }
        let capabilities = Capabilities { fusions: self.fusions, ..*self.backend.capabilities() };
        let limits = roomier(&case.axes);
        let program = self.backend.prepare(Plan::new(&case.graph, &capabilities, limits)).await?;

        let poisoned: BTreeMap<&str, Vec<u8>> =
            case.inputs.iter().map(|(name, bytes)| (name.as_str(), poison(case, name, bytes))).collect();
        let mut job = Job::new(case.axes);
        poisoned.iter().for_each(|(name, bytes)| {
            job.input(name, bytes);
        });
        self.reset_states(case)?;
        self.backend.run(program, &job).await?;

        let mut first: Option<Results> = None;
        for _ in 0..REPEATS {
            self.reset_states(case)?;
            let results = self.once(case, program).await?;
            match &first {
                None => first = Some(results),
                Some(first) if same(first, &results) => {}
                Some(_) => return Err("repeated runs differ".into()),
            }
        }
        first.ok_or_else(|| "no run".into())
    }

    fn reset_states(&mut self, case: &Case) -> Result<(), BackendError> {
        case.states.iter().try_for_each(|s| self.backend.write_state(&s.name, &s.bytes))
    }

    async fn once(
        &mut self,
        case: &Case,
        program: monolens_graph::backend::ProgramId,
    ) -> Result<Outputs, BackendError> {
        let mut job = Job::new(case.axes);
        for (name, bytes) in &case.inputs {
            job.input(name, bytes);
        }
        for name in case.graph.outputs.keys() {
            job.read(name);
        }
        let mut results = self.backend.run(program, &job).await?;
        for s in &case.states {
            let tensor = self.backend.read_state(&s.name).await?;
            results.insert(format!("state {}", s.name), widened(tensor, s.head_size));
        }
        Ok(results)
    }
}

/// Plans get more room than the run needs, so that strides taken from the limits would show.
fn roomier(axes: &Axes) -> Axes {
    [Axis::Rows, Axis::Samples, Axis::Tiles, Axis::RouteBlocks, Axis::QueryBlocks, Axis::Context]
        .into_iter()
        .fold(*axes, |limits, axis| limits.with(axis, axes.get(axis) + 3))
        .with(Axis::Sequences, axes.get(Axis::Sequences) + 1)
        .with(Axis::PagesPerSequence, axes.get(Axis::PagesPerSequence) + 2)
}

/// NaN in float inputs; index inputs stay valid.
fn poison(case: &Case, name: &str, bytes: &[u8]) -> Vec<u8> {
    let float = case.graph.find(name).is_some_and(|id| case.graph.value(id).dtype == DType::F32);
    if float { f32::NAN.to_le_bytes().repeat(bytes.len() / 4) } else { bytes.to_vec() }
}

/// Equal to the bit, NaN included.
fn same(a: &Results, b: &Results) -> bool {
    a.len() == b.len() && a.iter().all(|(name, t)| b.get(name).is_some_and(|u| t.bytes == u.bytes))
}
