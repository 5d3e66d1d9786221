//! What does not fit is refused with an error that says so, and never panics.

mod common;

use common::layer::*;
use common::*;
use monolens_cpu::CpuBackend;
use monolens_graph::backend::{Job, ProgramId};
use monolens_graph::batch::{self, Batch, NO_VISUAL};
use monolens_graph::plan::{Fusions, Plan};
use monolens_graph::{Axes, Axis, Backend, BackendError, DType, Graph, WeightSpec};

fn setup() -> (CpuBackend, Graph, Batch) {
    let graph = decoder(DType::F32, true).unwrap();
    let backend = loaded(exact(), &graph, DType::F32);
    let mask: Vec<bool> = (0..70).map(|i| i % 4 == 1).collect();
    let sequence = Sequence::new(&mask, &[4, 2, 0, 7, 9], 3);
    let batch = pack(&[(&sequence, 0, 70)]);
    (backend, graph, batch)
}

/// The error of running a batch that was changed.
fn error_of(change: impl FnOnce(&mut Batch)) -> String {
    let (mut backend, graph, mut batch) = setup();
    change(&mut batch);
    let plan = Plan::new(&graph, &capabilities(Fusions::ALL), batch.axes(KV_SLOTS, VISUAL_SLOTS));
    match run_plan(&mut backend, plan, &batch.job(KV_SLOTS, VISUAL_SLOTS)) {
        Err(error @ BackendError::Input { .. }) => error.to_string(),
        other => panic!("expected an input error, got {other:?}"),
    }
}

fn assert_names(error: &str, what: &str) {
    assert!(error.contains(what), "{error:?} names {what}");
}

#[test]
fn indices_out_of_range_are_refused() {
    assert_names(&error_of(|b| b.rows[0].id = VOCAB as u32), "token id");
    assert_names(&error_of(|b| b.rows[69].kv_slot = KV_SLOTS as u32), "KV slot");
    assert_names(&error_of(|b| b.rows[3].position = u32::MAX), "position");
    assert_names(&error_of(|b| b.rows[3].position = 5 * 16), "position");
    assert_names(&error_of(|b| b.rows[3].sequence = 1), "sequence");
    assert_names(&error_of(|b| b.visual_rows[1] = VISUAL_SLOTS as u32), "visual_rows");
    assert_names(&error_of(|b| b.page_table[4] = (KV_SLOTS / 16) as u32), "page_table");
    assert_names(&error_of(|b| b.page_table[0] = u32::MAX), "page_table");
    assert_names(&error_of(|b| b.sample_rows[0] = 70), "sample_rows");
}

#[test]
fn query_blocks_must_cover_each_row_once() {
    assert_names(&error_of(|b| b.query_blocks[0] = [0, 17]), "query_blocks");
    assert_names(&error_of(|b| b.query_blocks[0] = [1, 15]), "query_blocks");
    assert_names(&error_of(|b| b.query_blocks[0] = [u32::MAX, u32::MAX]), "query_blocks");
    assert_names(&error_of(|b| b.query_blocks[1] = [0, 16]), "query_blocks");
}

#[test]
fn the_routing_table_must_list_each_row_once() {
    assert_names(&error_of(|b| b.routing[0] = 65), "routing");
    assert_names(&error_of(|b| b.routing[0] = 0), "routing");
    assert_names(&error_of(|b| b.routing[0] = u32::MAX), "routing");
    assert_names(&error_of(|b| b.routing[1] = 70), "routing");
    assert_names(&error_of(|b| b.routing[1] = b.routing[2]), "routing");
}

#[test]
fn settings_of_sampling_must_make_sense() {
    for bad in [f32::NAN, -1.0, f32::INFINITY] {
        assert_names(&error_of(|b| b.sampling[0].temperature = bad), "temperature");
    }
    for bad in [f32::NAN, 0.0, 1.5] {
        assert_names(&error_of(|b| b.sampling[2].top_p = bad), "top_p");
    }
    for bad in [f32::NAN, 0.0, -1.0, f32::INFINITY] {
        assert_names(&error_of(|b| b.sampling[2].penalty = bad), "penalty");
    }
}

#[test]
fn inputs_of_another_size_and_missing_ones_are_refused() {
    assert_names(&error_of(|b| _ = b.rope.pop()), "rope");
    assert_names(&error_of(|b| b.seen.push(0)), "seen");
    let (mut backend, graph, batch) = setup();
    let mut job = batch.job(KV_SLOTS, VISUAL_SLOTS);
    job.inputs.remove(batch::ROWS);
    let plan = Plan::new(&graph, &capabilities(Fusions::ALL), job.axes);
    let error = run_plan(&mut backend, plan, &job).unwrap_err();
    assert!(matches!(&error, BackendError::Input { what, .. } if what == batch::ROWS), "{error}");
}

#[test]
fn axes_above_the_limits_of_the_plan_are_refused() {
    let (mut backend, graph, batch) = setup();
    for axis in [Axis::Rows, Axis::KvSlots, Axis::Samples] {
        let axes = batch.axes(KV_SLOTS, VISUAL_SLOTS);
        let plan = Plan::new(&graph, &capabilities(Fusions::ALL), axes.with(axis, axes.get(axis) - 1));
        let error = run_plan(&mut backend, plan, &batch.job(KV_SLOTS, VISUAL_SLOTS)).unwrap_err();
        assert!(matches!(&error, BackendError::Input { what, .. } if what == axis.name()), "{error}");
    }
}

#[test]
fn more_slots_than_a_state_has_are_refused() {
    let (mut backend, graph, batch) = setup();
    let job = batch.job(KV_SLOTS + 16, VISUAL_SLOTS);
    let plan = Plan::new(&graph, &capabilities(Fusions::ALL), job.axes);
    let error = run_plan(&mut backend, plan, &job).unwrap_err();
    assert!(matches!(&error, BackendError::Input { what, .. } if what.contains("kv.0.k")), "{error}");
}

#[test]
fn missing_and_misshapen_weights_and_states_are_named() {
    let (_, graph, batch) = setup();
    let plan = || Plan::new(&graph, &capabilities(Fusions::ALL), batch.axes(KV_SLOTS, VISUAL_SLOTS));
    let mut empty = exact();
    let error = pollster::block_on(empty.prepare(plan())).unwrap_err();
    assert!(matches!(&error, BackendError::Weight { name, .. } if name == "embeddings"), "{error}");

    let (mut backend, ..) = setup();
    load(&mut backend, "1.w2_ve", &[FFN, D], DType::BF16, &vec![0.0; D * FFN]);
    let error = pollster::block_on(backend.prepare(plan())).unwrap_err();
    assert!(matches!(&error, BackendError::Weight { name, .. } if name == "1.w2_ve"), "{error}");

    let mut stateless = exact();
    load_random(&mut stateless, &graph, DType::F32, 1);
    let error = pollster::block_on(stateless.prepare(plan())).unwrap_err();
    assert_names(&error.to_string(), "state visual");
    allocate(&mut stateless, &graph, &batch.axes(KV_SLOTS, VISUAL_SLOTS));
    stateless.allocate_state("kv.1.v", DType::BF16, KV_SLOTS, HEADS.kv_width()).unwrap();
    let error = pollster::block_on(stateless.prepare(plan())).unwrap_err();
    assert_names(&error.to_string(), "kv.1.v");
}

#[test]
fn a_weight_that_changes_shape_after_preparing_is_refused_at_the_run() {
    let (mut backend, graph, batch) = setup();
    let job = batch.job(KV_SLOTS, VISUAL_SLOTS);
    let plan = Plan::new(&graph, &capabilities(Fusions::ALL), job.axes);
    let program = pollster::block_on(backend.prepare(plan)).unwrap();
    pollster::block_on(backend.run(program, &job)).unwrap();
    load(&mut backend, "norm", &[1], DType::F32, &[0.0]);
    let error = pollster::block_on(backend.run(program, &job)).unwrap_err();
    assert!(matches!(&error, BackendError::Weight { name, .. } if name == "norm"), "{error}");
}

#[test]
fn uploads_must_have_exactly_the_bytes_of_the_weight() {
    let mut backend = exact();
    let spec = WeightSpec { name: "w".into(), shape: vec![3, 5] };
    assert!(backend.write_weight(&[0]).is_err(), "before begin_weight");
    assert!(backend.end_weight().is_err());
    assert!(backend.begin_weight(&spec, DType::U32.into()).is_err());
    backend.begin_weight(&spec, DType::BF16.into()).unwrap();
    backend.write_weight(&[0; 29]).unwrap();
    assert!(backend.write_weight(&[0; 2]).is_err(), "one byte too many");
    assert!(backend.end_weight().is_err(), "one byte too few");
    assert!(!backend.has_weight("w"));
    let huge = WeightSpec { name: "huge".into(), shape: vec![usize::MAX, 3] };
    assert!(backend.begin_weight(&huge, DType::F32.into()).is_err());
    let large = WeightSpec { name: "large".into(), shape: vec![1 << 40, 1 << 10] };
    assert!(matches!(
        backend.begin_weight(&large, DType::BF16.into()),
        Err(BackendError::OutOfMemory { .. })
    ));
}

#[test]
fn states_are_refused_when_they_cannot_be() {
    let mut backend = exact();
    assert!(backend.allocate_state("s", DType::U32, 1, 1).is_err());
    assert!(backend.allocate_state("s", DType::F16, 1, 1).is_err());
    assert!(backend.allocate_state("s", DType::F32, usize::MAX, 2).is_err());
    assert!(backend.allocate_state("s", DType::F32, 1 << 50, 2).is_err());
    assert!(backend.write_state("s", &[]).is_err());
    assert!(pollster::block_on(backend.read_state("s")).is_err());
    backend.allocate_state("s", DType::F32, 2, 3).unwrap();
    assert!(backend.write_state("s", &[0; 23]).is_err());
    backend.write_state("s", &[1; 24]).unwrap();
    backend.allocate_state("s", DType::F32, 2, 3).unwrap();
    let fresh = pollster::block_on(backend.read_state("s")).unwrap();
    assert_eq!(fresh.bytes, [0; 24], "a new state is zeros");
}

#[test]
fn unknown_programs_and_outputs_are_refused() {
    let (mut backend, graph, batch) = setup();
    let mut job = batch.job(KV_SLOTS, VISUAL_SLOTS);
    assert!(pollster::block_on(backend.run(ProgramId(0), &job)).is_err());
    assert!(backend.dispatches(ProgramId(0), &job.axes).is_empty());
    job.read("no such output");
    let plan = Plan::new(&graph, &capabilities(Fusions::ALL), job.axes);
    let error = run_plan(&mut backend, plan, &job).unwrap_err();
    assert_names(&error.to_string(), "no such output");
}

#[test]
fn an_empty_batch_runs() {
    let (mut backend, graph, _) = setup();
    let empty = Batch::pack(&[], VOCAB);
    let mut job = empty.job(KV_SLOTS, VISUAL_SLOTS);
    job.read(batch::NEXT_IDS).read("hidden");
    let out = run(&mut backend, &graph, Fusions::ALL, &job);
    assert!(out[batch::NEXT_IDS].bytes.is_empty());
    assert_eq!(out["hidden"].shape, [0, D]);
}

#[test]
fn not_a_number_in_a_weight_gives_no_token_instead_of_a_wrong_one() {
    let (mut backend, graph, batch) = setup();
    load(&mut backend, "norm", &[D], DType::F32, &[f32::NAN; D]);
    let mut job = batch.job(KV_SLOTS, VISUAL_SLOTS);
    job.read(batch::NEXT_IDS);
    let out = run(&mut backend, &graph, Fusions::ALL, &job);
    assert!(batch::ids_of(&out[batch::NEXT_IDS]).iter().all(|&id| id == batch::NO_TOKEN));
}

#[test]
fn memory_is_what_was_asked_for() {
    let mut backend = exact();
    load(&mut backend, "m", &[4, 8], DType::BF16, &[0.0; 32]);
    load(&mut backend, "v", &[8], DType::BF16, &[0.0; 8]);
    assert_eq!(backend.memory().weights, 64 + 32, "matrices as stored, vectors in f32");
    load(&mut backend, "v", &[8], DType::F32, &[0.0; 8]);
    assert_eq!(backend.memory().weights, 96, "loading again takes no more");
    backend.allocate_state("s", DType::BF16, 16, 4).unwrap();
    backend.allocate_state("s", DType::BF16, 32, 4).unwrap();
    assert_eq!(backend.memory().states, 256);
}

#[test]
fn dispatches_are_the_operators_of_the_plan() {
    let (mut backend, graph, batch) = setup();
    let axes: Axes = batch.axes(KV_SLOTS, VISUAL_SLOTS);
    let plan = Plan::text_only(&graph, &backend.capabilities().clone(), axes);
    let program = pollster::block_on(backend.prepare(plan)).unwrap();
    let layer = ["qkv_rope", "attention", "linear", "gate_up", "linear"];
    let mut want = vec!["embed"];
    want.extend(layer.iter().chain(&layer));
    want.extend(["gather_rows", "linear", "sample"]);
    assert_eq!(backend.dispatches(program, &axes), want);
}

#[test]
fn inputs_may_lie_askew_in_memory() {
    let (mut backend, graph, batch) = setup();
    let mut job = batch.job(KV_SLOTS, VISUAL_SLOTS);
    let mut bytes = vec![0; 4 * batch.visual_rows.len() + 1];
    bytes[1..].copy_from_slice(bytemuck::cast_slice(&batch.visual_rows));
    assert!(batch.visual_rows.contains(&NO_VISUAL));
    job.read("hidden");
    let straight = run(&mut backend, &graph, Fusions::ALL, &job);
    job.input(batch::VISUAL_ROWS, &bytes[1..]);
    assert_eq!(run(&mut backend, &graph, Fusions::ALL, &job), straight);
    let _: &Job<'_> = &job;
}
