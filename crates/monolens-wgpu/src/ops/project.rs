//! What the projections (linear, gate_up, qkv_rope) share: which kernel for how many rows, and its parameters.

use super::Lower;
use super::lower::{NONE, weight_feature};
use crate::pipelines::Constant;
use crate::program::{GRID, KernelId, Launch, Launches, Place};
use crate::weights::Matrix;
use crate::{Class, Prefill, Tile};
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
    /// `project_lanes`, where it is to be taken.
    lanes: Option<KernelId>,
    /// Many rows.
    prefill: KernelId,
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
}

impl Projection<'_> {
    pub fn lower(self, cx: &mut Lower<'_>) -> Launches {
        let format = weight_feature(self.text.format);
        let norm = if self.params.norm == NONE { "" } else { "norm" };
        let routed = if self.routed { "routed" } else { "" };
        let matrices = if self.up.is_some() { 2 } else { 1 };
        let width = matrices * self.text.parts.iter().map(|part| part.rows).sum::<usize>();
        let choice = cx.tuning.choice(Class::of(self.text.format, self.text.inner, width));
        let decode = choice.decode.unwrap_or_default();
        let ways = cx.taken.prefill(self.text.format);
        let prefill = choice.prefill.filter(|wanted| ways.contains(wanted)).unwrap_or(ways[0]);
        // `project_matrix` has the columns of the default.
        let tile = if let Prefill::Tiles(tile) = prefill { tile } else { Tile::default() };
        let mut parts = Vec::new();
        for (i, part) in self.text.parts.iter().enumerate() {
            let buffer = |matrix: &Matrix| Place::Buffer(matrix.parts[i].buffer.clone());
            let mut places = vec![self.result.clone(), self.x.clone(), Place::Vectors, Place::Tables];
            places.extend([buffer(self.text), buffer(self.visual)]);
            places.extend(self.up.iter().flatten().map(|m| buffer(m)));
            places.extend(self.more.iter().cloned());
            let (taken, file, written) = (cx.taken, self.file, self.written);
            let mut kernel = |features: &[&str], constants: Vec<Constant>| {
                cx.kernel_with(file, features, constants, places.clone(), written)
            };
            let [single, several] =
                ["single", "several"].map(|n| kernel(&["few", n, norm, format], decode.constants()));
            let lanes = taken.lanes.then(|| kernel(&["lanes", routed, format], Vec::new()));
            let prefill = match (prefill, taken.matrix, lanes) {
                (Prefill::Lanes, _, Some(lanes)) => lanes,
                (Prefill::Matrix, Some((unit, threads)), _) => {
                    kernel(&["matrix", unit.name(), routed, format], vec![(THREADS, threads)])
                }
                _ => kernel(&["many", routed, format], tile.constants()),
            };
            parts.push(Part {
                first: part.first,
                rows: part.rows,
                scales: self.text.scales(part.rows),
                single,
                several,
                lanes,
                prefill,
            });
        }
        let (params, shape, routed) = (self.params, self.shape, self.routed);
        Box::new(move |axes, out| {
            let rows = shape.rows(axes);
            if rows == 0 {
                return;
            }
            let blocks = if routed { axes.get(Axis::RouteBlocks) } else { rows.div_ceil(64) };
            let tiles = if routed { 4 * blocks } else { rows.div_ceil(16) };
            let grid = |x: usize, y: usize| [x as u32, y as u32, 1 + u32::from(routed)];
            for part in &parts {
                // A quad has four rows of one matrix, or two of either of two.
                let quads = (part.rows * matrices).div_ceil(4);
                let groups = quads.div_ceil(decode.groups());
                let by_lanes = grid(quads.div_ceil(32), tiles);
                let many = match prefill {
                    Prefill::Lanes => by_lanes,
                    _ => grid((part.rows * matrices).div_ceil(tile.columns()), blocks),
                };
                let (kernel, grid) = match part.lanes {
                    _ if routed || rows > FEW => (part.prefill, many),
                    Some(lanes) if rows > LANES_FROM => (lanes, by_lanes),
                    _ if groups > GRID as usize => (part.prefill, many),
                    _ if rows == 1 => (part.single, [groups as u32, 1, 1]),
                    _ => (part.several, [groups as u32, rows.div_ceil(4) as u32, 1]),
                };
                let work = 2.0 * (matrices * rows) as f64 * params.inner as f64 * part.rows as f64;
                out.push(Launch::new(kernel, &params.words(rows, part), grid).work(work));
            }
        })
    }
}
