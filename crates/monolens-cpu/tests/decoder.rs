//! A whole small decoder: fusion, phases, pages and chunks change nothing.

mod common;

use common::layer::*;
use common::*;
use monolens_graph::DType;
use monolens_graph::batch::{LOGITS, NEXT_IDS, ids_of};
use monolens_graph::plan::{Fusions, Plan};

fn sequence(rows: usize, seed: u64) -> Sequence {
    let visual: Vec<bool> = (0..rows).map(|i| (5..rows / 2).contains(&i)).collect();
    Sequence::new(&visual, &[0, 1, 2, 3, 4, 5, 6, 7], seed)
}

#[test]
fn fused_operators_equal_the_unfused_composition() {
    for attention_experts in [false, true] {
        for rows in [1, 2, 3, 17, 64, 67, 97] {
            for (i, mask) in masks(rows, rows as u64).into_iter().enumerate() {
                let graph = decoder(DType::F32, attention_experts).unwrap();
                let sequence = Sequence::new(&mask, &[3, 1, 4, 0, 5, 9, 2, 6], i as u64);
                let batch = pack(&[(&sequence, 0, rows)]);
                let mut backend = loaded(exact(), &graph, DType::F32);
                let plain = forward(&mut backend, &graph, Fusions::NONE, &batch);
                let fused = forward(&mut backend, &graph, Fusions::ALL, &batch);
                close(&fused["hidden"], &wide(&plain["hidden"].f32s()), 1e-10);
                close(&fused[LOGITS], &wide(&plain[LOGITS].f32s()), 1e-10);
                assert_eq!(fused[NEXT_IDS], plain[NEXT_IDS]);
            }
        }
    }
}

#[test]
fn the_text_phase_equals_the_mixed_program_on_text() {
    let graph = decoder(DType::F32, true).unwrap();
    let text = Sequence::new(&[false; 41], &[2, 0, 7], 5);
    let batch = pack(&[(&text, 0, 41)]);
    let mut backend = loaded(exact(), &graph, DType::F32);
    let mixed = forward(&mut backend, &graph, Fusions::ALL, &batch);
    let plan = Plan::text_only(&graph, &capabilities(Fusions::ALL), batch.axes(KV_SLOTS, VISUAL_SLOTS));
    let mut job = batch.job(KV_SLOTS, VISUAL_SLOTS);
    job.read("hidden");
    let only = run_plan(&mut backend, plan, &job).unwrap();
    assert_eq!(only["hidden"], mixed["hidden"]);
}

#[test]
fn the_text_phase_runs_without_visual_weights() {
    let graph = decoder(DType::F32, true).unwrap();
    let text = Sequence::new(&[false; 3], &[0], 5);
    let batch = pack(&[(&text, 0, 3)]);
    let plan = Plan::text_only(&graph, &capabilities(Fusions::ALL), batch.axes(KV_SLOTS, VISUAL_SLOTS));
    let mut backend = exact();
    for id in plan.graph.used_weights() {
        let spec = plan.graph.weight(id);
        load(&mut backend, &spec.name, &spec.shape, DType::F32, &vec![0.5; spec.shape.iter().product()]);
    }
    allocate(&mut backend, &graph, &batch.axes(KV_SLOTS, VISUAL_SLOTS));
    run_plan(&mut backend, plan, &batch.job(KV_SLOTS, VISUAL_SLOTS)).unwrap();
    assert!(!backend_has_visual(&backend));
}

fn backend_has_visual(backend: &monolens_cpu::CpuBackend) -> bool {
    use monolens_graph::Backend;
    backend.has_weight("0.w1_ve")
}

#[test]
fn any_order_of_pages_gives_the_same() {
    let graph = decoder(DType::F32, false).unwrap();
    let mut backend = loaded(exact(), &graph, DType::F32);
    let straight = sequence(97, 1);
    let shuffled = Sequence { pages: vec![31, 2, 39, 0, 17, 8, 23, 5], ..straight.clone() };
    let a = forward(&mut backend, &graph, Fusions::ALL, &pack(&[(&straight, 0, 97)]));
    let b = forward(&mut backend, &graph, Fusions::ALL, &pack(&[(&shuffled, 0, 97)]));
    assert_eq!(a["hidden"], b["hidden"]);
}

#[test]
fn prefill_in_chunks_equals_prefill_at_once() {
    for kv in [DType::F32, DType::BF16] {
        let graph = decoder(kv, false).unwrap();
        let mut backend = loaded(exact(), &graph, DType::F32);
        let sequence = sequence(97, 3);
        let once = forward(&mut backend, &graph, Fusions::ALL, &pack(&[(&sequence, 0, 97)]));
        let mut chunked = Vec::new();
        for (from, to) in [(0, 33), (33, 34), (34, 80), (80, 97)] {
            let batch = pack(&[(&sequence, from, to)]);
            let part = forward(&mut backend, &graph, Fusions::ALL, &batch);
            chunked.extend(part["hidden"].f32s());
        }
        assert!(nmse(&chunked, &wide(&once["hidden"].f32s())) < 1e-10);
    }
}

#[test]
fn sequences_in_one_batch_do_not_see_each_other() {
    let graph = decoder(DType::F32, true).unwrap();
    let mut backend = loaded(exact(), &graph, DType::F32);
    let a = Sequence { pages: vec![30, 1, 7, 9], ..sequence(50, 1) };
    let b = Sequence { pages: vec![2, 0, 38], ..sequence(35, 2) };
    let both = forward(&mut backend, &graph, Fusions::ALL, &pack(&[(&a, 0, 50), (&b, 0, 35)]));
    let alone_a = forward(&mut backend, &graph, Fusions::ALL, &pack(&[(&a, 0, 50)]));
    let alone_b = forward(&mut backend, &graph, Fusions::ALL, &pack(&[(&b, 0, 35)]));
    let mut alone = alone_a["hidden"].f32s();
    alone.extend(alone_b["hidden"].f32s());
    assert!(nmse(&both["hidden"].f32s(), &wide(&alone)) < 1e-10);
    let ids: Vec<u32> = [&alone_a, &alone_b].iter().flat_map(|o| ids_of(&o[NEXT_IDS])).collect();
    assert_eq!(ids_of(&both[NEXT_IDS]), ids);
}

#[test]
fn outliers_stay_finite() {
    for dtype in [DType::F32, DType::BF16] {
        let graph = decoder(DType::BF16, false).unwrap();
        let mut backend = loaded(fast(), &graph, dtype);
        let mut visual = floats(&mut rng(1), VISUAL_SLOTS * D);
        visual.iter_mut().step_by(11).for_each(|v| *v *= 1e5);
        use monolens_graph::Backend;
        backend.write_state(monolens_graph::batch::VISUAL, bytemuck::cast_slice(&visual)).unwrap();
        let out = forward(&mut backend, &graph, Fusions::ALL, &pack(&[(&sequence(97, 1), 0, 97)]));
        assert!(out["hidden"].f32s().iter().all(|v| v.is_finite()));
        assert!(out[LOGITS].f32s().iter().all(|v| v.is_finite()));
    }
}

#[test]
fn fast_arithmetic_stays_within_the_limit_of_bf16() {
    let graph = decoder(DType::BF16, true).unwrap();
    let (mut a, mut b) = (loaded(exact(), &graph, DType::BF16), loaded(fast(), &graph, DType::BF16));
    let batch = pack(&[(&sequence(97, 8), 0, 97)]);
    let exact = forward(&mut a, &graph, Fusions::ALL, &batch);
    let fast = forward(&mut b, &graph, Fusions::ALL, &batch);
    close(&fast["hidden"], &wide(&exact["hidden"].f32s()), 2e-3);
}

#[test]
fn a_run_repeated_gives_the_same_bits() {
    let graph = decoder(DType::BF16, true).unwrap();
    let mut backend = loaded(fast(), &graph, DType::BF16);
    let batch = pack(&[(&sequence(67, 8), 0, 67)]);
    let first = forward(&mut backend, &graph, Fusions::ALL, &batch);
    for _ in 0..3 {
        assert_eq!(forward(&mut backend, &graph, Fusions::ALL, &batch), first);
    }
}
