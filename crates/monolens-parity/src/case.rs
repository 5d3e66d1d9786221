//! A case: one small graph with random weights, states and inputs.

use monolens_graph::batch::{self, Batch, Chunk, NO_VISUAL, PAGE_SIZE, SamplingRow};
use monolens_graph::ops::Heads;
use monolens_graph::{
    Axes, Axis, Bits, DType, Dim, Graph, GraphBuilder, Grouped, ValueId, WeightFormat, WeightId, WeightSpec,
    eight,
};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

/// Sizes that find off-by-one errors: one, primes, powers of two and their neighbours.
const SIZES: [usize; 16] = [1, 2, 3, 5, 7, 8, 13, 16, 17, 31, 33, 61, 64, 67, 97, 130];

/// How the matrices of the case of this number are stored: each way in turn, groups with changing size and scales.
pub fn weight_format(number: usize) -> WeightFormat {
    let round = number / 5;
    let grouped = |bits| {
        let scale = [DType::F16, DType::BF16, DType::F32][round % 3];
        WeightFormat::Grouped(Grouped { bits, group: [32, 64, 96, 128][round % 4], scale })
    };
    match number % 5 {
        0 => WeightFormat::Plain(DType::F32),
        1 => WeightFormat::Plain(DType::BF16),
        2 => grouped(Bits::Four),
        3 => WeightFormat::Plain(DType::F16),
        _ => grouped(Bits::Eight),
    }
}

/// A state with its first contents.
#[derive(Clone, Debug)]
pub struct StateData {
    /// Name in the graph.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Rows.
    pub rows: usize,
    /// Width of a row.
    pub width: usize,
    /// Elements of a head, if it holds keys or values.
    pub head_size: Option<usize>,
    /// Contents before the run.
    pub bytes: Vec<u8>,
}

/// A graph with everything a run of it needs.
#[derive(Clone, Debug)]
pub struct Case {
    /// Operator and sizes, for messages.
    pub label: String,
    /// The graph, unfused.
    pub graph: Graph,
    /// Weights as stored.
    pub weights: Vec<(WeightSpec, WeightFormat, Vec<u8>)>,
    /// States before the run.
    pub states: Vec<StateData>,
    /// Inputs by name.
    pub inputs: BTreeMap<String, Vec<u8>>,
    /// Sizes of this run.
    pub axes: Axes,
    /// Largest NMSE of each output and state.
    pub limit: f64,
}

/// Draws a [`Case`].
#[derive(Debug)]
pub struct Draw {
    /// Number of the case, for cycling through kinds.
    pub number: usize,
    /// Random numbers, seeded by the number.
    pub rng: StdRng,
    /// The graph so far.
    pub g: GraphBuilder,
    /// How this case's matrices are stored.
    pub format: WeightFormat,
    /// Factor on random inputs: 1, now and then huge (outlier activations).
    pub scale: f32,
    case: Case,
}

impl Draw {
    /// Starts the case of this number.
    pub fn new(operator: &str, number: usize) -> Self {
        let seed = operator.bytes().fold(number as u64, |s, b| s.wrapping_mul(31).wrapping_add(b.into()));
        let case = Case {
            label: format!("{operator} case {number}"),
            graph: GraphBuilder::new("").finish(),
            weights: Vec::new(),
            states: Vec::new(),
            inputs: BTreeMap::new(),
            axes: Axes::new(),
            limit: 0.0,
        };
        Self {
            number,
            rng: StdRng::seed_from_u64(seed),
            g: GraphBuilder::new(format!("{operator} {number}")),
            format: weight_format(number),
            scale: if number % 8 == 7 { 1e5 } else { 1.0 },
            case,
        }
    }

    /// A size among `SIZES`, at most `most`.
    pub fn size(&mut self, most: usize) -> usize {
        let fitting = SIZES.iter().take_while(|&&s| s <= most).count();
        SIZES[self.rng.random_range(0..fitting)]
    }

    /// A width of rows of weights: of whole groups, if the case's matrices have groups.
    pub fn inner(&mut self, most: usize) -> usize {
        let size = self.size(most);
        match self.format {
            WeightFormat::Plain(_) => size,
            WeightFormat::Grouped(grouped) => size.next_multiple_of(grouped.group),
        }
    }

    /// A number of rows; case 0 has none and case 1 has one.
    pub fn rows(&mut self, most: usize) -> usize {
        match self.number {
            0 => 0,
            1 => 1,
            _ => self.size(most),
        }
    }

    /// Sets an axis.
    pub fn axis(&mut self, axis: Axis, size: usize) {
        self.case.axes = self.case.axes.with(axis, size);
    }

    /// Normal-ish floats (sum of uniforms), times `scale`.
    pub fn floats(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| (0..3).map(|_| self.rng.random_range(-1.0f32..1.0)).sum::<f32>() * scale).collect()
    }

    /// A weight of random values: matrices in the case's format with rows of unit norm, vectors around 1 in f32. What has
    /// more dimensions is never in groups.
    pub fn weight(&mut self, name: &str, shape: &[usize]) -> WeightId {
        let name = format!("{}/{name}", self.case.label);
        let n: usize = shape.iter().product();
        let vector = shape.len() == 1;
        let inner: usize = shape[1..].iter().product();
        let mut values = self.floats(n, if vector { 0.3 } else { (inner as f32).powf(-0.5) });
        if vector {
            values.iter_mut().for_each(|v| *v += 1.0);
        }
        let format = match self.format {
            _ if vector => DType::F32.into(),
            WeightFormat::Grouped(_) if shape.len() > 2 => DType::BF16.into(),
            format => format,
        };
        let spec = WeightSpec { name: name.clone(), shape: shape.to_vec() };
        self.case.weights.push((spec, format, encode_weight(&values, format)));
        self.g.weight(name, shape)
    }

    /// An f32 input of random values; its axes must be set.
    pub fn input(&mut self, name: &str, shape: &[Dim]) -> ValueId {
        let shape = monolens_graph::Shape(shape.to_vec());
        let mut values = self.floats(shape.elements(&self.case.axes), 1.0);
        // Outliers as the model has them: a few channels are huge, the others are not.
        for v in values.iter_mut().step_by(61) {
            *v *= self.scale;
        }
        self.case.inputs.insert(name.into(), bytemuck::cast_slice(&values).to_vec());
        self.g.input(name, DType::F32, shape)
    }

    /// A u32 input with these values.
    pub fn indices(&mut self, name: &str, shape: &[Dim], values: &[u32]) -> ValueId {
        self.case.inputs.insert(name.into(), bytemuck::cast_slice(values).to_vec());
        self.g.input(name, DType::U32, monolens_graph::Shape(shape.to_vec()))
    }

    /// A state of random floats on `axis` (which it sets) times `width`.
    pub fn state(&mut self, name: &str, dtype: DType, axis: Axis, rows: usize, width: usize) -> ValueId {
        self.axis(axis, rows);
        let values = self.floats(rows * width, 1.0);
        let bytes = encode(&values, dtype);
        self.case.states.push(StateData { name: name.into(), dtype, rows, width, head_size: None, bytes });
        self.g.state(name, dtype, [axis.into(), width.into()])
    }

    /// A state of random keys or values.
    fn cache(&mut self, name: &str, dtype: DType, slots: usize, heads: &Heads) -> ValueId {
        let values = self.floats(slots * heads.kv_width(), 1.0);
        let (width, head_size) = (heads.cache_width(dtype), Some(heads.size));
        let bytes = encode_heads(&values, dtype, heads.size);
        self.case.states.push(StateData { name: name.into(), dtype, rows: slots, width, head_size, bytes });
        self.g.state(name, dtype, [Axis::KvSlots.into(), width.into()])
    }

    /// Which rows are visual: by case number none, all, runs, interleaved token by token, or a share of 1 to 90 %.
    pub fn modalities(&mut self, rows: usize) -> Vec<bool> {
        match self.number % 8 {
            0 => vec![false; rows],
            1 => vec![true; rows],
            2 => (0..rows).map(|i| i % 2 == 1).collect(),
            3 => (0..rows).map(|i| (rows / 4..rows / 2 + 1).contains(&i)).collect(),
            share => {
                let p = [0.01, 0.1, 0.5, 0.9][share - 4];
                (0..rows).map(|_| self.rng.random_bool(p)).collect()
            }
        }
    }

    /// The routing input for these rows.
    pub fn routing(&mut self, visual: &[bool]) -> ValueId {
        let table = batch::routing(visual);
        let words = 1 + batch::ROUTE_BLOCK;
        self.axis(Axis::RouteBlocks, table.len() / words);
        self.indices(batch::ROUTING, &[Axis::RouteBlocks.into(), words.into()], &table)
    }

    /// A packed batch of a few sequences with random histories on shuffled pages, with its inputs and the KV states of one
    /// of these types.
    pub fn paged(&mut self, heads: &Heads, most_rows: usize, types: &[DType]) -> Paged {
        let count = if self.number == 0 { 0 } else { self.rng.random_range(1..4) };
        let lengths: Vec<(usize, usize)> = (0..count)
            .map(|_| {
                let start = if self.rng.random_bool(0.4) { 0 } else { self.size(97) };
                (start, if self.number == 1 { 1 } else { self.size(most_rows / count) })
            })
            .collect();
        self.paged_sequences(heads, &lengths, types)
    }

    /// The same of more than 256 rows.
    pub fn paged_many(&mut self, heads: &Heads, types: &[DType]) -> Paged {
        let lengths = [(self.size(97), 130), (0, 64 + self.size(67)), (self.size(33), 97)];
        self.paged_sequences(heads, &lengths, types)
    }

    /// The same of one row a sequence, far into the first.
    pub fn paged_far(&mut self, heads: &Heads, types: &[DType]) -> Paged {
        let lengths = [(300 + 5 * self.size(130), 1), (self.size(97), 1)];
        self.paged_sequences(heads, &lengths, types)
    }

    /// The same of sequences with so many tokens before and so many rows.
    fn paged_sequences(&mut self, heads: &Heads, lengths: &[(usize, usize)], types: &[DType]) -> Paged {
        let needed = |&(start, n): &(usize, usize)| (start + n).div_ceil(PAGE_SIZE);
        let spare = 2;
        let mut pages: Vec<u32> = (0..(lengths.iter().map(needed).sum::<usize>() + spare) as u32).collect();
        pages.shuffle(&mut self.rng);
        let slots = pages.len() * PAGE_SIZE;
        let longest = lengths.iter().map(|&(_, n)| n).max().unwrap_or(0);
        let ids = vec![0; longest];
        let none = vec![NO_VISUAL; longest];
        let angles = self.floats(longest * heads.size / 2, 2.0);
        let rope: Vec<f32> = angles
            .chunks(heads.size / 2)
            .flat_map(|row| {
                row.iter().map(|a| a.cos()).chain(row.iter().map(|a| a.sin())).collect::<Vec<_>>()
            })
            .collect();
        let mut rest = pages.as_slice();
        let chunks: Vec<Chunk<'_>> = lengths
            .iter()
            .map(|&(start, n)| {
                let (own, others) = rest.split_at(needed(&(start, n)));
                rest = others;
                Chunk {
                    ids: &ids[..n],
                    visual: &none[..n],
                    start,
                    pages: own,
                    rope: &rope[..n * heads.size],
                    sample: Some(SamplingRow::GREEDY),
                    ..Chunk::default()
                }
            })
            .collect();
        let batch = Batch::pack(&chunks, 1);
        // Shifted from round to round, so that a type does not always meet the same heads.
        let kv = types[(self.number + self.number / types.len()) % types.len()];
        let [k, v] = ["k", "v"].map(|name| self.cache(name, kv, slots, heads));
        self.case.axes = batch.axes(slots, 0);
        let rows =
            self.indices(batch::ROWS, &[Axis::Rows.into(), 4.into()], bytemuck::cast_slice(&batch.rows));
        let table = &batch.page_table;
        let pages =
            self.indices(batch::PAGE_TABLE, &[Axis::Sequences.into(), Axis::PagesPerSequence.into()], table);
        let blocks = bytemuck::cast_slice(&batch.query_blocks);
        let query_blocks = self.indices(batch::QUERY_BLOCKS, &[Axis::QueryBlocks.into(), 2.into()], blocks);
        self.case.inputs.insert(batch::ROPE.into(), bytemuck::cast_slice(&batch.rope).to_vec());
        let rope = self.g.input(batch::ROPE, DType::F32, [Axis::Rows.into(), heads.size.into()]);
        Paged { count: batch.rows.len(), kv, rows, rope, pages, query_blocks, k, v }
    }

    /// Finishes with this limit; adds the sizes to the label.
    pub fn finish(mut self, limit: f64) -> Case {
        self.case.graph = self.g.finish();
        self.case.limit = limit;
        let sizes = |id: &ValueId| {
            let v = self.case.graph.value(*id);
            format!("{}{:?}", v.name, v.shape.sizes(&self.case.axes))
        };
        let shown: Vec<String> = self.case.graph.outputs.values().map(sizes).collect();
        self.case.label += &format!(" ({}, weights {})", shown.join(" "), self.format);
        self.case
    }
}

/// What [`Draw::paged`] made.
#[derive(Clone, Copy, Debug)]
pub struct Paged {
    /// Rows in the batch.
    pub count: usize,
    /// Type of keys and values.
    pub kv: DType,
    /// The input [`batch::ROWS`].
    pub rows: ValueId,
    /// The input [`batch::ROPE`].
    pub rope: ValueId,
    /// The input [`batch::PAGE_TABLE`].
    pub pages: ValueId,
    /// The input [`batch::QUERY_BLOCKS`].
    pub query_blocks: ValueId,
    /// State of keys.
    pub k: ValueId,
    /// State of values.
    pub v: ValueId,
}

/// Keys or values in a stored type.
fn encode_heads(values: &[f32], dtype: DType, size: usize) -> Vec<u8> {
    if dtype != DType::I8 {
        return encode(values, dtype);
    }
    let record = eight::bytes(size);
    let mut bytes = vec![0; values.len() / size * record];
    values.chunks(size).zip(bytes.chunks_mut(record)).for_each(|(head, to)| eight::round(head, to));
    bytes
}

/// Floats in a stored type, little-endian.
pub fn encode(values: &[f32], dtype: DType) -> Vec<u8> {
    match dtype {
        DType::F32 | DType::U32 | DType::I8 => bytemuck::cast_slice(values).to_vec(),
        DType::F16 => values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect(),
        DType::BF16 => values.iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect(),
    }
}

/// A weight in a format; integers are rounded to the nearest with the least scale that holds a group's largest element.
fn encode_weight(values: &[f32], format: WeightFormat) -> Vec<u8> {
    let grouped = match format {
        WeightFormat::Plain(dtype) => return encode(values, dtype),
        WeightFormat::Grouped(grouped) => grouped,
    };
    let most = (grouped.bits.offset() - 1) as f32;
    let largest = |group: &[f32]| group.iter().fold(0f32, |most, v| most.max(v.abs()));
    let scales: Vec<f32> = values.chunks(grouped.group).map(|group| largest(group) / most).collect();
    let integer = |(i, v): (usize, &f32)| (v / scales[i / grouped.group].max(1e-20)).round() as i32;
    let integers: Vec<i32> = values.iter().enumerate().map(integer).collect();
    let words = integers.chunks(grouped.bits.per_word()).map(|part| grouped.bits.pack(part));
    let mut bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
    bytes.extend(encode(&scales, grouped.scale));
    bytes
}
