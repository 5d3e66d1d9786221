//! What the projections (linear, gate_up, qkv_rope) share: which kernel for how many rows, and its parameters.

use super::Lower;
use super::lower::{NONE, weight_feature};
use crate::program::{GRID, KernelId, Launch, Launches, Place};
use crate::weights::Matrix;
use monolens_graph::ops::RmsNorm;
use monolens_graph::{Axis, BackendError, Node, Routed, Shape, WeightId};

/// Up to this many rows are projected as vectors, each weight row being read once for four of them.
const FEW: usize = 8;

/// Above this many rows `project_lanes` is taken, where it is to be taken at all.
const LANES_FROM: usize = 1;

/// The constant of `project_matrix`: threads of a workgroup.
const THREADS: &str = "0";

/// The parameters of `shared/project.wgsl`, but for the rows of a run and of a part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Params {
    pub inner: usize,
    pub eights: usize,
    pub width: usize,
    pub routing: u32,
    pub identity: u32,
    pub norm: u32,
    pub eps: f32,
    pub bias: [u32; 2],
    pub scale: u32,
    pub gelu: bool,
    pub residual: bool,
    /// qkv_rope: row_info, rope, query heads, kv heads, head size, concatenated, bf16.
    pub qkv: [u32; 7],
}

impl Params {
    pub fn new(matrix: &Matrix, width: usize) -> Self {
        Self {
            inner: matrix.inner,
            eights: matrix.eights,
            width,
            routing: 0,
            identity: 0,
            norm: NONE,
            eps: 0.0,
            bias: [NONE; 2],
            scale: NONE,
            gelu: false,
            residual: false,
            qkv: [0; 7],
        }
    }

    pub fn norm(&mut self, cx: &Lower<'_>, node: &Node, norm: Option<&RmsNorm>) -> Result<(), BackendError> {
        if let Some(norm) = norm {
            (self.norm, self.eps) = (cx.vector(node, norm.weight)?, norm.eps);
        }
        Ok(())
    }

    pub fn bias(
        &mut self,
        cx: &Lower<'_>,
        node: &Node,
        bias: Option<Routed<WeightId>>,
    ) -> Result<(), BackendError> {
        if let Some(bias) = bias {
            let text = cx.vector(node, bias.text)?;
            let visual = bias.visual.map(|id| cx.vector(node, id)).transpose()?;
            self.bias = [text, visual.unwrap_or(text)];
        }
        Ok(())
    }

    fn words(&self, rows: usize, part: &Part) -> [u32; 27] {
        let (q, s) = (self.qkv, part.scales);
        [
            rows as u32,
            self.inner as u32,
            self.eights as u32,
            part.rows as u32,
            part.first as u32,
            self.width as u32,
            self.routing,
            self.identity,
            self.norm,
            self.eps.to_bits(),
            self.bias[0],
            self.bias[1],
            self.scale,
            u32::from(self.gelu),
            u32::from(self.residual),
            q[0],
            q[1],
            q[2],
            q[3],
            q[4],
            q[5],
            q[6],
            u32::from(self.inner.is_multiple_of(4)),
            s[0],
            s[1],
            s[2],
            s[3],
        ]
    }
}

/// Weight rows that one kernel binds, and the kernels that may do them.
#[derive(Clone, Copy, Debug)]
struct Part {
    first: usize,
    rows: usize,
    /// As [`Matrix::scales`].
    scales: [u32; 4],
    single: KernelId,
    several: KernelId,
    many: KernelId,
    lanes: KernelId,
    /// On matrix units that take these weights.
    matrix: Option<KernelId>,
}

/// A projection to be lowered.
pub(super) struct Projection<'a> {
    /// The shader: linear, gate_up or qkv_rope.
    pub file: &'static str,
    pub params: Params,
    /// Rows of x.
    pub shape: Shape,
    pub routed: bool,
    /// The experts' matrices, split alike.
    pub text: &'a Matrix,
    pub visual: &'a Matrix,
    /// gate_up: the up projections beside them.
    pub up: Option<[&'a Matrix; 2]>,
    /// Bindings 0 and 1.
    pub result: Place,
    pub x: Place,
    /// Bindings from 6 on, if they are not `up`.
    pub more: Vec<Place>,
    /// Bindings that are written.
    pub written: &'static [usize],
    /// Weight rows that a quad has of one matrix: 4, or 2 of either of two.
    pub few_rows_a_quad: usize,
    /// Weight rows of a column tile for many rows.
    pub many_rows_a_tile: usize,
}

impl Projection<'_> {
    pub fn lower(self, cx: &mut Lower<'_>) -> Launches {
        let format = weight_feature(self.text.format);
        let norm = if self.params.norm == NONE { "" } else { "norm" };
        let routed = if self.routed { "routed" } else { "" };
        let matrix = cx.taken.matrix.filter(|(unit, _)| unit.takes(self.text.format));
        let mut parts = Vec::new();
        for (i, part) in self.text.parts.iter().enumerate() {
            let buffer = |matrix: &Matrix| Place::Buffer(matrix.parts[i].buffer.clone());
            let mut places = vec![self.result.clone(), self.x.clone(), Place::Vectors, Place::Tables];
            places.extend([buffer(self.text), buffer(self.visual)]);
            places.extend(self.up.iter().flatten().map(|m| buffer(m)));
            places.extend(self.more.iter().cloned());
            let mut kernel = |features: &[&str]| cx.kernel(self.file, features, places.clone(), self.written);
            let [single, several] = ["single", "several"].map(|n| kernel(&["few", n, norm, format]));
            let many = kernel(&["many", routed, format]);
            let lanes = kernel(&["lanes", routed, format]);
            let matrix = matrix.map(|(unit, threads)| {
                let features = ["matrix", unit.name(), routed, format];
                cx.kernel_with(self.file, &features, Some((THREADS, threads)), places.clone(), self.written)
            });
            parts.push(Part {
                first: part.first,
                rows: part.rows,
                scales: self.text.scales(part.rows),
                single,
                several,
                many,
                lanes,
                matrix,
            });
        }
        let lanes = cx.taken.lanes;
        let (params, shape, routed) = (self.params, self.shape, self.routed);
        let (few_rows, many_rows) = (self.few_rows_a_quad, self.many_rows_a_tile);
        let matrices = if self.up.is_some() { 2.0 } else { 1.0 };
        Box::new(move |axes, out| {
            let rows = shape.rows(axes);
            if rows == 0 {
                return;
            }
            let blocks = |part: &Part| {
                let blocks = if routed { axes.get(Axis::RouteBlocks) } else { rows.div_ceil(64) };
                [part.rows.div_ceil(many_rows) as u32, blocks as u32, 1 + u32::from(routed)]
            };
            for part in &parts {
                let groups = part.rows.div_ceil(few_rows).div_ceil(2);
                let (kernel, grid) = if let Some(matrix) = part.matrix.filter(|_| routed || rows > FEW) {
                    (matrix, blocks(part))
                } else if lanes && (routed || rows > LANES_FROM) {
                    let tiles = if routed { axes.get(Axis::RouteBlocks) * 4 } else { rows.div_ceil(16) };
                    let quads = part.rows.div_ceil(few_rows).div_ceil(32);
                    (part.lanes, [quads as u32, tiles as u32, 1 + u32::from(routed)])
                } else if routed || rows > FEW || groups > GRID as usize {
                    (part.many, blocks(part))
                } else if rows == 1 {
                    (part.single, [groups as u32, 1, 1])
                } else {
                    (part.several, [groups as u32, rows.div_ceil(4) as u32, 1])
                };
                let work = 2.0 * matrices * rows as f64 * params.inner as f64 * part.rows as f64;
                out.push(Launch::new(kernel, &params.words(rows, part), grid).work(work));
            }
        })
    }
}
