//! `monolens inspect`: parameters and memory by part, the graph, the plan, dispatches.

use crate::args::{DeviceArgs, StorageArgs};
use crate::exit::Outcome;
use crate::session::{self, device_line};
use crate::source::{ModelSource, RandomArgs};
use anyhow::{Context, Result};
use clap::Args;
use comfy_table::{Cell, CellAlignment, Table, presets};
use monolens_engine::{EngineOptions, Quantization, kv_type_name, open_backend};
use monolens_graph::batch::{PAGE_SIZE, QUERY_BLOCK, ROUTE_BLOCK};
use monolens_graph::plan::{Capabilities, Plan};
use monolens_graph::{Axes, Axis, DType, Graph, Op, WeightId};
use monolens_models::graphs::DecoderOptions;
use monolens_models::{Model, PartSize, part_sizes};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// Options of `monolens inspect`.
#[derive(Args, Clone, Debug, Default)]
pub struct InspectArgs {
    /// A model folder or .safetensors file (default: the bundled checkpoint)
    pub model: Option<PathBuf>,
    /// Random weights in place of a checkpoint.
    #[command(flatten)]
    pub random: RandomArgs,
    /// How weights, keys and values are stored.
    #[command(flatten)]
    pub storage: StorageArgs,
    /// Print the graphs as the model's builders write them
    #[arg(long)]
    pub graph: bool,
    /// Print the plans: fused, with a memory slot for each value
    #[arg(long)]
    pub plan: bool,
    /// Load the model and ask the device which kernels it launches in each phase
    #[arg(long)]
    pub dispatches: bool,
    /// Write the plans (or with --graph the graphs) in the Graphviz language, for `dot -Tsvg FILE`; `-` writes them to
    /// stdout and nothing else
    #[arg(long, value_name = "FILE")]
    pub dot: Option<PathBuf>,
    /// Tokens of a conversation that memory is counted for (default: 4096, or what the model was trained for)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub context: Option<u32>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// Prompt rows in a step, and tiles of a vision run: the engine's defaults.
const CHUNK: usize = 512;
const TILES: usize = 4;
const SEQUENCES: usize = 8;
const DEFAULT_CONTEXT: usize = 4096;

/// A plan of one phase.
struct Phase {
    name: &'static str,
    /// What it is for.
    what: &'static str,
    plan: Plan,
}

/// Runs the command.
///
/// # Errors
/// When the model cannot be opened, the device is not there or the file cannot be written.
pub fn run(args: &InspectArgs) -> Result<Outcome> {
    let source = ModelSource::of(&args.random, args.model.as_ref())?;
    let model = source.open()?;
    let opened = pollster::block_on(open_backend(&args.device.choice()))?;
    let capabilities = *opened.backend.capabilities();
    let wish = args.storage.weights();
    let kv_dtype =
        args.storage.kv.unwrap_or_else(|| kv_dtype(&model, wish, &capabilities, args.device.exact));
    let sizes = part_sizes(&model, wish)?;
    let graphs = graphs(&model, kv_dtype)?;
    let trained = model.config().decoder.max_position_embeddings;
    let context = args.context.map_or(trained.min(DEFAULT_CONTEXT), |n| n as usize);
    let phases = phases(&model, &graphs, &capabilities, context);
    if let Some(path) = &args.dot {
        let dots: Vec<String> = match args.graph {
            true => graphs.iter().map(Graph::to_dot).collect(),
            false => phases.iter().map(|p| p.plan.graph.to_dot()).collect(),
        };
        if path.as_os_str() == "-" {
            io::stdout().write_all(dots.concat().as_bytes())?;
            return Ok(Outcome::Fine);
        }
        std::fs::write(path, dots.concat()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let launches = if args.dispatches { Some(launches(&model, args)?) } else { None };
    let mut out = io::stdout().lock();
    if args.json {
        let mut object = to_json(&source.name(), &model, wish, &sizes, &phases, kv_dtype, context);
        if let Some(launches) = launches {
            object["dispatches"] =
                launches.into_iter().map(|(phase, names)| (phase.to_owned(), json!(names))).collect();
        }
        writeln!(out, "{}", serde_json::to_string_pretty(&object)?)?;
        return Ok(Outcome::Fine);
    }
    writeln!(out, "{} from {}", model.name(), source.name())?;
    writeln!(out, "planned for {}", device_line(opened.backend.device()))?;
    writeln!(out, "\n{}\n\n{}", shape_lines(&model), parts_table(&sizes, wish))?;
    writeln!(out, "\n{}", memory_table(&model, wish, &sizes, &phases, kv_dtype, context))?;
    let counts = phases.iter().map(|p| (p.name, operators(&p.plan))).collect::<Vec<_>>();
    writeln!(out, "\n{}", count_table("operator after fusion", &counts))?;
    if let Some(launches) = launches {
        let counts = launches.into_iter().map(|(phase, names)| (phase, counted(names))).collect::<Vec<_>>();
        writeln!(out, "\n{}", count_table("kernel launches", &counts))?;
    }
    if args.graph {
        graphs.iter().try_for_each(|g| writeln!(out, "\n{g}"))?;
    }
    if args.plan {
        phases.iter().try_for_each(|p| writeln!(out, "\n# {}: {}\n{}", p.name, p.what, p.plan))?;
    }
    Ok(Outcome::Fine)
}

/// The vision and the decoder graph.
fn graphs(model: &Model, kv_dtype: DType) -> Result<[Graph; 2]> {
    let options = DecoderOptions { kv_dtype, ..DecoderOptions::default() };
    Ok([model.vision_graph(false)?, model.decoder_graph(&options)?])
}

/// The type that keys and values are cached in: f32 beside f32 weights, else what suits the device.
fn kv_dtype(model: &Model, wish: Option<Quantization>, capabilities: &Capabilities, exact: bool) -> DType {
    let wide = wish.is_none()
        && model.weight_dtype("language_model.model.layers.0.attention.wqkv.weight")
            == Some(monolens_models::checkpoint::DType::F32);
    if exact || wide { DType::F32 } else { capabilities.kv_dtype }
}

fn phases(
    model: &Model,
    [vision, decoder]: &[Graph; 2],
    capabilities: &Capabilities,
    context: usize,
) -> Vec<Phase> {
    let pages = context.div_ceil(PAGE_SIZE);
    let visual = TILES * model.config().num_image_token();
    let limits = |rows: usize| {
        Axes::new()
            .with(Axis::Rows, rows)
            .with(Axis::Samples, SEQUENCES.min(rows))
            .with(Axis::Sequences, SEQUENCES.min(rows))
            .with(Axis::PagesPerSequence, pages)
            .with(Axis::KvSlots, pages * PAGE_SIZE)
            .with(Axis::VisualSlots, visual)
            .with(Axis::RouteBlocks, rows.div_ceil(ROUTE_BLOCK))
            .with(Axis::QueryBlocks, rows.div_ceil(QUERY_BLOCK) + SEQUENCES)
            .with(Axis::Context, context)
    };
    let tiles = Axes::new().with(Axis::Tiles, TILES).with(Axis::VisualSlots, visual);
    let phase = |name, what, plan| Phase { name, what, plan };
    vec![
        phase("vision", "tiles to visual tokens", Plan::new(vision, capabilities, tiles)),
        phase("mixed", "prefill of text and image rows", Plan::new(decoder, capabilities, limits(CHUNK))),
        phase("text", "prefill of text rows", Plan::text_only(decoder, capabilities, limits(CHUNK))),
        phase("decode", "a token", Plan::text_only(decoder, capabilities, limits(1))),
    ]
}

/// How often each name occurs.
fn counted(names: impl IntoIterator<Item = &'static str>) -> BTreeMap<&'static str, usize> {
    let mut count = BTreeMap::new();
    for name in names {
        *count.entry(name).or_default() += 1;
    }
    count
}

/// Operators of a plan; each is a kernel launch or a few.
fn operators(plan: &Plan) -> BTreeMap<&'static str, usize> {
    counted(plan.graph.nodes.iter().map(|node| node.op.name()))
}

/// Kernel launches by phase, as the device makes them.
fn launches(model: &Arc<Model>, args: &InspectArgs) -> Result<Vec<(&'static str, Vec<&'static str>)>> {
    let context = args.context.map(|n| n as usize);
    let options = EngineOptions { context, ..args.storage.options() };
    Ok(session::load(Arc::clone(model), &args.device, options, false)?.engine.dispatches())
}

fn shape_lines(model: &Model) -> String {
    let (c, d) = (model.config(), &model.config().decoder);
    let vision = match &c.vision.encoder {
        Some(e) => format!(
            "InternViT, {} layers of width {}, {} heads",
            e.num_layers, c.vision.hidden_size, e.num_heads
        ),
        None => format!("patches of {0}×{0} pixels, width {1}", c.vision.patch_size, c.vision.hidden_size),
    };
    format!(
        "decoder   {} layers, width {}, feed-forward {}, {} query and {} key/value heads of {}, {} ids\n\
         context   {} positions, rope base {}, scaling {:?}\n\
         experts   visual feed-forward {}, visual attention {}\n\
         vision    {vision}\n\
         tiles     {}×{} pixels, {} visual tokens each, 1 to {} a picture{}",
        d.num_layers,
        d.hidden_size,
        d.intermediate_size,
        d.num_heads,
        d.num_kv_heads,
        d.head_size(),
        d.vocab_size,
        d.max_position_embeddings,
        d.rope_theta,
        d.rope_scaling,
        if model.experts().feed_forward { "yes" } else { "no" },
        model.experts().attention.name(),
        c.tile_size,
        c.tile_size,
        c.num_image_token(),
        c.max_dynamic_patch,
        if c.use_thumbnail { " and a thumbnail" } else { "" },
    )
}

/// Bytes for people.
fn bytes_text(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// A number with its thousands apart.
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let head = digits.len() % 3;
    let mut groups: Vec<&str> = Vec::new();
    if head > 0 {
        groups.push(&digits[..head]);
    }
    groups.extend((head..digits.len()).step_by(3).map(|i| &digits[i..i + 3]));
    groups.join(",")
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(header.to_vec());
    table
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

fn parts_table(sizes: &[PartSize], wish: Option<Quantization>) -> Table {
    let all: u64 = sizes.iter().map(|s| s.parameters).sum();
    let how = wish.map_or("as stored".to_owned(), |wish| format!("in {wish}"));
    let mut t = table(&["part", "parameters", "share", &how]);
    for s in sizes {
        let share = s.parameters as f64 / all.max(1) as f64 * 100.0;
        t.add_row([
            Cell::new(s.part.name()),
            right(thousands(s.parameters)),
            right(format!("{share:.1} %")),
            right(bytes_text(s.bytes)),
        ]);
    }
    let bytes = sizes.iter().map(|s| s.bytes).sum();
    t.add_row([Cell::new("all"), right(thousands(all)), right("100 %".into()), right(bytes_text(bytes))]);
    t
}

/// Bytes of keys and values of a token.
fn kv_bytes(model: &Model, kv_dtype: DType) -> u64 {
    let d = &model.config().decoder;
    (2 * d.num_layers * d.heads().cache_bytes(kv_dtype)) as u64
}

/// Bytes of weights that a plan reads; of an embedding table it reads a row a token, which is next to nothing.
fn weight_bytes(model: &Model, wish: Option<Quantization>, plan: &Plan) -> u64 {
    let graph = &plan.graph;
    let bytes = |id| {
        let weight = graph.weight(id);
        let format = model.supply(weight, wish).map(|supply| supply.format());
        format.ok().and_then(|format| format.bytes(&weight.shape)).map_or(0, |bytes| bytes as u64)
    };
    let read = |id: &WeightId| {
        graph.nodes.iter().any(|node| !matches!(node.op, Op::Embed(_)) && node.op.weights().contains(id))
    };
    graph.used_weights().into_iter().filter(read).map(bytes).sum()
}

fn memory_table(
    model: &Model,
    wish: Option<Quantization>,
    sizes: &[PartSize],
    phases: &[Phase],
    kv_dtype: DType,
    context: usize,
) -> Table {
    let mut t = table(&["memory", "bytes", "of"]);
    let mut row = |what: &str, bytes: u64, of: String| {
        t.add_row([Cell::new(what), right(bytes_text(bytes)), Cell::new(of)]);
    };
    let weights: u64 = sizes.iter().map(|s| s.bytes).sum();
    row("weights", weights, "all parts".into());
    let token = kv_bytes(model, kv_dtype);
    row(
        "KV cache",
        token * 1000,
        format!("1,000 tokens in {} ({token} bytes a token)", kv_type_name(kv_dtype)),
    );
    row(
        "KV cache",
        token * context as u64,
        format!("{} tokens of a conversation", thousands(context as u64)),
    );
    for p in phases {
        let of = format!("activations, {} ({})", p.name, p.what);
        row("plan", p.plan.slot_bytes() as u64, of);
    }
    row(
        "all",
        total_bytes(model, sizes, phases, kv_dtype, context),
        "weights, that conversation, the largest plan".into(),
    );
    for p in phases {
        row("read", weight_bytes(model, wish, &p.plan), format!("weights that {} touches", p.name));
    }
    t
}

/// Bytes on the device for one conversation: programs share the memory of their activations.
fn total_bytes(model: &Model, sizes: &[PartSize], phases: &[Phase], kv_dtype: DType, context: usize) -> u64 {
    let weights: u64 = sizes.iter().map(|s| s.bytes).sum();
    let plans = phases.iter().map(|p| p.plan.slot_bytes() as u64).max().unwrap_or(0);
    weights + kv_bytes(model, kv_dtype) * context as u64 + plans
}

/// Counts by name, a column a phase.
fn count_table(head: &str, phases: &[(&str, BTreeMap<&str, usize>)]) -> Table {
    let mut header = vec![head];
    header.extend(phases.iter().map(|(name, _)| *name));
    let mut t = table(&header);
    let mut names: Vec<&str> = phases.iter().flat_map(|(_, c)| c.keys().copied()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let number = |c: &BTreeMap<&str, usize>| right(c.get(name).map_or(String::new(), usize::to_string));
        t.add_row(std::iter::once(Cell::new(name)).chain(phases.iter().map(|(_, c)| number(c))));
    }
    let all = phases.iter().map(|(_, c)| right(c.values().sum::<usize>().to_string()));
    t.add_row(std::iter::once(Cell::new("all")).chain(all));
    t
}

fn to_json(
    source: &str,
    model: &Model,
    wish: Option<Quantization>,
    sizes: &[PartSize],
    phases: &[Phase],
    kv_dtype: DType,
    context: usize,
) -> Value {
    let d = &model.config().decoder;
    let parts: Vec<Value> = sizes
        .iter()
        .map(|s| json!({ "part": s.part.name(), "parameters": s.parameters, "bytes": s.bytes }))
        .collect();
    let plans: Vec<Value> = phases
        .iter()
        .map(|p| {
            json!({
                "phase": p.name,
                "operators": operators(&p.plan),
                "activation_bytes": p.plan.slot_bytes(),
                "weight_bytes": weight_bytes(model, wish, &p.plan),
            })
        })
        .collect();
    json!({
        "model": model.name(),
        "source": source,
        "layers": d.num_layers,
        "hidden_size": d.hidden_size,
        "tile": model.config().tile_size,
        "tokens_per_tile": model.config().num_image_token(),
        "parameters": sizes.iter().map(|s| s.parameters).sum::<u64>(),
        "parts": parts,
        "weights": wish.map(|wish| wish.to_string()),
        "weight_bytes": sizes.iter().map(|s| s.bytes).sum::<u64>(),
        "kv": kv_type_name(kv_dtype),
        "kv_bytes_per_token": kv_bytes(model, kv_dtype),
        "context": context,
        "total_bytes": total_bytes(model, sizes, phases, kv_dtype, context),
        "phases": plans,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(thousands(3_111_355_392), "3,111,355,392");
        assert_eq!(thousands(0), "0");
        assert_eq!(bytes_text(98_304), "96.0 KiB");
        assert_eq!(bytes_text(6_222_710_784), "5.80 GiB");
    }
}
