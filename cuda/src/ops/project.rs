//! What the projections (linear, gate_up, qkv_rope) share: which kernel for how many rows, and `Project` of
//! `shared/project.cuh`.

use super::Lower;
use super::lower::groups;
use super::product::{self, Plain, Products};
use crate::Arithmetic;
use crate::gpu::{Argument, FunctionId};
use crate::program::{Launches, Place, Run, THREADS, blocks, word};
use crate::weights::Weight;
use monolens_graph::ops::RmsNorm;
use monolens_graph::{Axis, BackendError, Bits, DType, Grouped, Lowering, Shape, WeightFormat};

/// Up to this many rows are projected by dot products, which read each weight once; more by tensor cores.
const FEW: usize = 16;
/// Entries for few rows: rows and pairs of weight rows of a warp.
const FEW_ENTRIES: [(&str, usize, usize); 4] =
    [("few_1", 1, 2), ("few_2", 2, 2), ("few_4", 4, 1), ("few_8", 8, 1)];
/// Warps of a block for few rows.
const FEW_WARPS: usize = 4;
/// Above this many rows a block takes two routing blocks instead of one.
const WIDE: usize = 256;
/// Columns of x in a step, steps loaded ahead, pairs of a tile, rows of a routing block.
pub(super) const DEPTH: usize = 32;
const STAGES: usize = 4;
const TILE_PAIRS: usize = 64;
const BLOCK: usize = monolens_graph::batch::ROUTE_BLOCK;

/// Which terms of x and of a weight are multiplied, most significant first. A bf16 weight is one term, an f16 weight two, an
/// f32 three; products that add nothing to f32's accuracy are left out. An integer times its scale is two terms; one is
/// far more exact than the integer was.
fn products(format: WeightFormat, arithmetic: Arithmetic) -> &'static [(u32, u32)] {
    match (format, arithmetic) {
        (WeightFormat::Plain(DType::BF16) | WeightFormat::Grouped(_), Arithmetic::Fast) => &[(0, 0)],
        (WeightFormat::Plain(DType::BF16), Arithmetic::Exact) => &[(0, 0), (1, 0), (2, 0)],
        (WeightFormat::Plain(DType::F16), Arithmetic::Fast) => &[(0, 0), (0, 1)],
        (WeightFormat::Plain(DType::F16) | WeightFormat::Grouped(_), Arithmetic::Exact) => {
            &[(0, 0), (1, 0), (0, 1), (2, 0), (1, 1)]
        }
        _ => &[(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)],
    }
}

/// The macro for a type of weights.
fn define(format: WeightFormat) -> &'static str {
    match format {
        WeightFormat::Plain(DType::BF16) => "WEIGHT_BF16",
        WeightFormat::Plain(DType::F16) => "WEIGHT_F16",
        WeightFormat::Plain(_) => "WEIGHT_F32",
        WeightFormat::Grouped(Grouped { bits: Bits::Eight, .. }) => "WEIGHT_Q8",
        WeightFormat::Grouped(Grouped { bits: Bits::Four, .. }) => "WEIGHT_Q4",
    }
}

/// Shared memory of `many` in `shared/many.cuh`: tiles of x and of the weights, or the results in their place; then the
/// numbers of the rows.
fn many_bytes(format: WeightFormat, rows: usize) -> u32 {
    let (x, weights) = (rows * DEPTH * 2, 2 * TILE_PAIRS * DEPTH);
    let weights = match format {
        WeightFormat::Plain(_) => STAGES * weights * 2,
        // Two tiles of bf16 beside the integers.
        WeightFormat::Grouped(g) => 2 * weights * 2 + STAGES * weights * g.bits.count() / 8,
    };
    ((STAGES * x + weights).max(rows * TILE_PAIRS * 8) + rows * 4) as u32
}

/// Adds an operator's own parameters.
pub(super) type Own = Box<dyn Fn(&Run<'_>, &mut Vec<Argument>)>;

/// A projection to be lowered.
pub(super) struct Projection<'a> {
    /// The file: linear, gate_up or qkv_rope.
    pub file: &'static str,
    /// One of its weights, all of which are alike.
    pub weight: &'a Weight,
    /// Pairs of columns.
    pub pairs: usize,
    pub x: Place,
    /// Of x.
    pub shape: Shape,
    pub norm: Option<RmsNorm>,
    /// None: not routed.
    pub routing: Place,
    /// Bit 0: the text expert is an identity; bit 1: the visual expert is.
    pub identity: u32,
    /// How the vendor's library does it, if it may.
    pub plain: Option<Plain>,
    /// What the operator's own parameters are.
    pub own: Own,
}

/// The kernels of a projection.
struct Kernels {
    few: Vec<(FunctionId, usize, usize)>,
    pack: FunctionId,
    many_64: FunctionId,
    many_128: FunctionId,
}

impl Projection<'_> {
    pub fn lower(self, cx: &mut Lower<'_>) -> Result<Launches, BackendError> {
        let format = self.weight.format;
        let kernel = |entry: &str| cx.typed_kernel(self.file, define(format), entry);
        let few = FEW_ENTRIES.iter().map(|&(name, rows, pairs)| Ok((kernel(name)?, rows, pairs)));
        let kernels = Kernels {
            few: few.collect::<Result<_, BackendError>>()?,
            pack: cx.kernel("pack_rows", "pack_rows")?,
            many_64: kernel("many_64")?,
            many_128: kernel("many_128")?,
        };
        let norm = cx.optional_place(self.norm.map(|n| n.weight))?;
        let eps = Argument::Float(self.norm.map_or(0.0, |n| n.eps));
        let products = products(format, cx.how.arithmetic);
        let terms = products.iter().map(|&(x, _)| x as usize + 1).max().unwrap_or(1);
        let [group, scales, scale_type] = groups(self.weight);
        let (inner, stride, pairs) = (self.weight.inner, self.weight.stride, self.pairs);
        let depth = product::depth(self.weight);
        let packed = cx.scratch(self.shape.rows(&cx.plan().limits) * depth * terms * 2);
        let plain = self.plain.map(|plain| Products::new(cx, plain, self.weight, terms));
        let mut codes = [0_u32; 2];
        for (i, &(x, w)) in products.iter().enumerate() {
            codes[i / 4] |= (x | w << 4) << (i % 4 * 8);
        }
        let routed = !matches!(self.routing, Place::None);
        let Self { x, shape, routing, identity, own, .. } = self;
        Ok(Box::new(move |run, out| {
            let rows = shape.rows(run.axes);
            if rows == 0 {
                return;
            }
            let few = !routed && rows <= FEW;
            let route_blocks = if routed { run.axes.get(Axis::RouteBlocks) } else { rows.div_ceil(BLOCK) };
            let mut arguments = vec![
                run.at(&x),
                run.at(&packed),
                run.at(&routing),
                run.at(&norm),
                word(rows),
                word(inner),
                word(stride),
                group,
                scales,
                scale_type,
                word(depth),
                eps,
                Argument::Word(identity),
                Argument::Word(codes[0]),
                Argument::Word(codes[1]),
                word(products.len()),
                word(route_blocks),
            ];
            own(run, &mut arguments);
            if few {
                let fitting = kernels.few.iter().find(|(_, most, _)| rows <= *most);
                let Some(&(kernel, a_block, pairs_a_warp)) = fitting.or(kernels.few.last()) else { return };
                let groups = pairs.div_ceil(pairs_a_warp * FEW_WARPS) as u32;
                let grid = [rows.div_ceil(a_block) as u32, groups, 1];
                out.launch(kernel, grid, 32 * FEW_WARPS as u32, &arguments);
                return;
            }
            let pack = [
                run.at(&packed),
                run.at(&x),
                run.at(&norm),
                word(rows),
                word(inner),
                word(depth),
                word(terms),
                eps,
            ];
            out.launch(kernels.pack, blocks(rows), THREADS, &pack);
            if let Some(plain) = plain.as_ref().filter(|plain| plain.fits(rows)) {
                plain.launch(run, out, rows, &packed);
                return;
            }
            let (kernel, of_block) = if rows >= WIDE { (kernels.many_128, 2) } else { (kernels.many_64, 1) };
            let grid = [
                route_blocks.div_ceil(of_block) as u32,
                pairs.div_ceil(TILE_PAIRS) as u32,
                1 + u32::from(routed),
            ];
            let block_rows = of_block * BLOCK;
            let bytes = many_bytes(format, block_rows);
            out.launch_with(kernel, grid, 2 * block_rows as u32, bytes, &arguments);
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_fit_their_words() {
        let grouped = |bits| WeightFormat::Grouped(Grouped { bits, group: 128, scale: DType::F16 });
        let plain = [DType::F32, DType::F16, DType::BF16].map(WeightFormat::Plain);
        for format in plain.into_iter().chain(Bits::ALL.map(grouped)) {
            for arithmetic in [Arithmetic::Fast, Arithmetic::Exact] {
                let products = products(format, arithmetic);
                assert!(products.len() <= 8 && products[0] == (0, 0));
                assert!(products.iter().all(|&(x, w)| x < 16 && w < 16));
            }
        }
    }
}
