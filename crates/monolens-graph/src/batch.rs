//! The packed batch: what the host gives a decoder program for one run, and how it is laid out.
//!
//! Rows of one or many sequences lie one after another. Everything that depends on the history of a sequence (pages,
//! positions, rotations) is made here on the host; a backend only follows indices.

use crate::backend::{HostTensor, Job};
use crate::{Axes, Axis};
use bytemuck::{Pod, Zeroable};

/// Tokens in a KV page.
pub const PAGE_SIZE: usize = 16;
/// Rows in a routing block; kernels may cut it into smaller tiles.
pub const ROUTE_BLOCK: usize = 64;
/// Rows at most in a query block of prefill attention.
pub const QUERY_BLOCK: usize = 16;
/// 32-bit words of a [`SamplingRow`].
pub const SAMPLING_WORDS: usize = 8;
/// In [`VISUAL_ROWS`]: the row is text.
pub const NO_VISUAL: u32 = u32::MAX;
/// From sampling: no token could be chosen (no finite logit).
pub const NO_TOKEN: u32 = u32::MAX;

/// Input u32 [rows, 4]: [`RowInfo`].
pub const ROWS: &str = "rows";
/// Input u32 [rows]: slot in the visual state, or [`NO_VISUAL`].
pub const VISUAL_ROWS: &str = "visual_rows";
/// Input f32 [rows, d]: d/2 cosines then d/2 sines of each row's rotation.
pub const ROPE: &str = "rope";
/// Input u32 [sequences, pages]: page numbers.
pub const PAGE_TABLE: &str = "page_table";
/// Input u32 [query_blocks, 2]: first row and number of rows, all of one sequence.
pub const QUERY_BLOCKS: &str = "query_blocks";
/// Input u32 [route_blocks, 1 + ROUTE_BLOCK]: word 0 holds the number of text rows in its low half and of visual rows in
/// its high half; then the block's row numbers, text rows first, each kind in ascending order. A workgroup of a modality
/// whose half is 0 exits at once. Unused words are 0.
pub const ROUTING: &str = "routing";
/// Input u32 [samples]: rows whose next token is wanted.
pub const SAMPLE_ROWS: &str = "sample_rows";
/// Input u32 [samples, 8]: [`SamplingRow`].
pub const SAMPLING: &str = "sampling";
/// Input u32 [samples, ⌈V/32⌉]: bit t is set if token t occurred.
pub const SEEN: &str = "seen";
/// State f32 [visual_slots, D]: visual embeddings that wait for their tokens' prefill.
pub const VISUAL: &str = "visual";
/// Input u32 [tiles]: where each tile's visual embeddings begin in [`VISUAL`].
pub const VISUAL_SLOTS: &str = "visual_slots";
/// Input f32 [tiles, 3, S, S]: normalised pixels.
pub const PIXELS: &str = "pixels";
/// Output u32 [samples]: sampled ids.
pub const NEXT_IDS: &str = "next_ids";
/// Output f32 [samples, V], where a graph was built with it.
pub const LOGITS: &str = "logits";

/// Name of the state with the keys of a layer.
pub fn key_state(layer: usize) -> String {
    format!("kv.{layer}.k")
}

/// Name of the state with the values of a layer.
pub fn value_state(layer: usize) -> String {
    format!("kv.{layer}.v")
}

/// One row of [`ROWS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RowInfo {
    /// Token id.
    pub id: u32,
    /// Slot of the KV pool where this row's key and value are written.
    pub kv_slot: u32,
    /// Position in the sequence: keys 0..=position are attended to.
    pub position: u32,
    /// Row of the page table.
    pub sequence: u32,
}

/// One row of [`SAMPLING`].
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct SamplingRow {
    /// 0 is greedy.
    pub temperature: f32,
    /// Probability mass kept, (0, 1]; 1 keeps all.
    pub top_p: f32,
    /// Repetition penalty; 1 is none.
    pub penalty: f32,
    /// Candidates kept; 0 keeps all.
    pub top_k: u32,
    /// Low half of the seed.
    pub seed_low: u32,
    /// High half of the seed.
    pub seed_high: u32,
    /// Number of the generated token, so that each step draws anew.
    pub step: u32,
    /// Unused, 0.
    pub reserved: u32,
}

impl SamplingRow {
    /// Always the largest logit.
    pub const GREEDY: Self = Self {
        temperature: 0.0,
        top_p: 1.0,
        penalty: 1.0,
        top_k: 0,
        seed_low: 0,
        seed_high: 0,
        step: 0,
        reserved: 0,
    };
}

impl Default for SamplingRow {
    fn default() -> Self {
        Self::GREEDY
    }
}

/// The random bits of token `token` at a step: PCG's output permutation (O'Neill 2014) over the mixed words, in 32-bit
/// wrapping arithmetic that every backend has.
pub fn sampling_hash(row: &SamplingRow, token: u32) -> u32 {
    let mut h = pcg(row.seed_low);
    h = pcg(h ^ row.seed_high);
    h = pcg(h ^ row.step);
    pcg(h ^ token)
}

fn pcg(v: u32) -> u32 {
    let state = v.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

/// The next rows of one sequence.
#[derive(Clone, Debug, Default)]
pub struct Chunk<'a> {
    /// Token ids, at least one.
    pub ids: &'a [u32],
    /// For each id its slot in [`VISUAL`], or [`NO_VISUAL`].
    pub visual: &'a [u32],
    /// Tokens of the sequence already in the KV cache: the position of the first row.
    pub start: usize,
    /// Pages of the sequence, enough for `start + ids.len()` tokens.
    pub pages: &'a [u32],
    /// Rotation of each row: `ids.len()` times d floats, as [`ROPE`].
    pub rope: &'a [f32],
    /// Sample the token after the last row with these settings.
    pub sample: Option<SamplingRow>,
    /// With `sample`: bits of the tokens that occurred, ⌈V/32⌉ words; empty is none.
    pub seen: &'a [u32],
    /// Sample after every row instead of the last (forced decoding, perplexity); needs `sample`.
    pub sample_every_row: bool,
}

/// A packed batch, ready to be bound by name.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// As [`ROWS`].
    pub rows: Vec<RowInfo>,
    /// As [`VISUAL_ROWS`].
    pub visual_rows: Vec<u32>,
    /// As [`ROPE`].
    pub rope: Vec<f32>,
    /// As [`PAGE_TABLE`], padded with 0 to `pages_per_sequence`.
    pub page_table: Vec<u32>,
    /// Width of the page table.
    pub pages_per_sequence: usize,
    /// Number of sequences.
    pub sequences: usize,
    /// As [`QUERY_BLOCKS`].
    pub query_blocks: Vec<[u32; 2]>,
    /// As [`ROUTING`].
    pub routing: Vec<u32>,
    /// As [`SAMPLE_ROWS`].
    pub sample_rows: Vec<u32>,
    /// As [`SAMPLING`].
    pub sampling: Vec<SamplingRow>,
    /// As [`SEEN`].
    pub seen: Vec<u32>,
    /// Largest number of keys any row attends to.
    pub context: usize,
}

impl Batch {
    /// Packs the chunks in order; `vocab` is the model's number of ids.
    ///
    /// # Panics
    /// When a chunk contradicts itself (lengths, pages): the engine's bookkeeping is wrong then, not the user's input.
    pub fn pack(chunks: &[Chunk<'_>], vocab: usize) -> Self {
        let mut b = Batch { sequences: chunks.len(), ..Batch::default() };
        b.pages_per_sequence = chunks.iter().map(|c| c.pages.len()).max().unwrap_or(0);
        let seen_words = vocab.div_ceil(32);
        for (sequence, chunk) in chunks.iter().enumerate() {
            let n = chunk.ids.len();
            assert_eq!(chunk.visual.len(), n, "one visual slot a row");
            assert!(
                chunk.pages.len() * PAGE_SIZE >= chunk.start + n,
                "{} pages hold fewer than {} tokens",
                chunk.pages.len(),
                chunk.start + n
            );
            let first = b.rows.len();
            for (i, &id) in chunk.ids.iter().enumerate() {
                let position = chunk.start + i;
                let page = chunk.pages[position / PAGE_SIZE] as usize;
                b.rows.push(RowInfo {
                    id,
                    kv_slot: (page * PAGE_SIZE + position % PAGE_SIZE) as u32,
                    position: position as u32,
                    sequence: sequence as u32,
                });
            }
            b.visual_rows.extend_from_slice(chunk.visual);
            b.rope.extend_from_slice(chunk.rope);
            b.page_table.extend_from_slice(chunk.pages);
            b.page_table.resize((sequence + 1) * b.pages_per_sequence, 0);
            for start in (0..n).step_by(QUERY_BLOCK) {
                let count = QUERY_BLOCK.min(n - start);
                b.query_blocks.push([(first + start) as u32, count as u32]);
            }
            if let Some(sampling) = chunk.sample {
                let from = if chunk.sample_every_row { 0 } else { n - 1 };
                for i in from..n {
                    b.sample_rows.push((first + i) as u32);
                    b.sampling.push(sampling);
                    b.seen.extend_from_slice(chunk.seen);
                    b.seen.resize(b.sampling.len() * seen_words, 0);
                }
            }
            b.context = b.context.max(chunk.start + n);
        }
        b.routing = routing(&b.visual_rows.iter().map(|&v| v != NO_VISUAL).collect::<Vec<_>>());
        b
    }

    /// Whether no row is visual: the text-only program will do.
    pub fn is_text_only(&self) -> bool {
        self.visual_rows.iter().all(|&v| v == NO_VISUAL)
    }

    /// The sizes of this batch. KV and visual slots are those of the states.
    pub fn axes(&self, kv_slots: usize, visual_slots: usize) -> Axes {
        Axes::new()
            .with(Axis::Rows, self.rows.len())
            .with(Axis::Samples, self.sample_rows.len())
            .with(Axis::Sequences, self.sequences)
            .with(Axis::PagesPerSequence, self.pages_per_sequence)
            .with(Axis::KvSlots, kv_slots)
            .with(Axis::VisualSlots, visual_slots)
            .with(Axis::RouteBlocks, self.routing.len() / (1 + ROUTE_BLOCK))
            .with(Axis::QueryBlocks, self.query_blocks.len())
            .with(Axis::Context, self.context)
    }

    /// The run of a decoder program on this batch; a program takes the inputs it knows.
    pub fn job(&self, kv_slots: usize, visual_slots: usize) -> Job<'_> {
        let mut job = Job::new(self.axes(kv_slots, visual_slots));
        job.input(ROWS, bytemuck::cast_slice(&self.rows));
        job.input(VISUAL_ROWS, bytemuck::cast_slice(&self.visual_rows));
        job.input(ROPE, bytemuck::cast_slice(&self.rope));
        job.input(PAGE_TABLE, bytemuck::cast_slice(&self.page_table));
        job.input(QUERY_BLOCKS, bytemuck::cast_slice(&self.query_blocks));
        job.input(ROUTING, bytemuck::cast_slice(&self.routing));
        job.input(SAMPLE_ROWS, bytemuck::cast_slice(&self.sample_rows));
        job.input(SAMPLING, bytemuck::cast_slice(&self.sampling));
        job.input(SEEN, bytemuck::cast_slice(&self.seen));
        job
    }
}

/// The routing table ([`ROUTING`]) of rows that are visual where `visual` says so.
pub fn routing(visual: &[bool]) -> Vec<u32> {
    let mut table = Vec::with_capacity(visual.len().div_ceil(ROUTE_BLOCK) * (1 + ROUTE_BLOCK));
    for (block, kinds) in visual.chunks(ROUTE_BLOCK).enumerate() {
        let first = (block * ROUTE_BLOCK) as u32;
        let of_kind = |kind: bool| (first..).zip(kinds).filter(move |&(_, &k)| k == kind).map(|(row, _)| row);
        let visuals = of_kind(true).count() as u32;
        table.push((kinds.len() as u32 - visuals) | (visuals << 16));
        table.extend(of_kind(false).chain(of_kind(true)));
        table.resize((block + 1) * (1 + ROUTE_BLOCK), 0);
    }
    table
}

/// Reads sampled ids out of what a program returned.
pub fn ids_of(tensor: &HostTensor) -> Vec<u32> {
    tensor.bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routing_lists_text_rows_before_visual_rows_in_each_block() {
        let mut visual = vec![false; 70];
        visual[1] = true;
        visual[65] = true;
        let table = routing(&visual);
        assert_eq!(table.len(), 2 * (1 + ROUTE_BLOCK));
        assert_eq!(table[0], 63 | (1 << 16));
        assert_eq!(table[1..4], [0, 2, 3]);
        assert_eq!(table[64], 1, "the visual row comes last");
        let second = &table[1 + ROUTE_BLOCK..];
        assert_eq!(second[..7], [5 | (1 << 16), 64, 66, 67, 68, 69, 65]);
        assert!(second[7..].iter().all(|&w| w == 0));
    }

    #[test]
    fn packing_places_rows_on_their_pages() {
        let rope = [0.0; 2 * 18];
        let ids: Vec<u32> = (0..18).collect();
        let none = [NO_VISUAL; 18];
        let chunks = [
            Chunk {
                ids: &ids[..2],
                visual: &none[..2],
                start: 15,
                pages: &[3, 1],
                rope: &rope[..4],
                sample: Some(SamplingRow::GREEDY),
                ..Chunk::default()
            },
            Chunk { ids: &ids, visual: &none, pages: &[0, 2], rope: &rope, ..Chunk::default() },
        ];
        let batch = Batch::pack(&chunks, 33);
        assert_eq!(batch.rows[0].kv_slot, 3 * 16 + 15);
        assert_eq!(batch.rows[1].kv_slot, 16);
        assert_eq!(batch.rows[19].kv_slot, 2 * 16 + 1);
        assert_eq!(batch.query_blocks, [[0, 2], [2, 16], [18, 2]]);
        assert_eq!(batch.sample_rows, [1]);
        assert_eq!(batch.seen.len(), 2);
        assert_eq!(batch.context, 18);
        assert!(batch.is_text_only());
    }
}
