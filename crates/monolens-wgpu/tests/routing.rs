//! The fused MMoE kernel: a workgroup without rows of its modality touches neither weights nor results.

mod common;

use common::{load, load_random, open, prepare, random, routed_ffn, run};
use monolens_graph::batch::{ROUTE_BLOCK, ROUTING, routing};
use monolens_graph::{Axes, Axis, Graph, GraphBuilder};
use monolens_wgpu::WgpuOptions;

const D: usize = 24;
const F: usize = 40;

fn ffn() -> Graph {
    let mut g = GraphBuilder::new("ffn");
    let [_, y] = routed_ffn(&mut g, D, F);
    g.output("y", y).unwrap();
    g.finish()
}

fn axes(rows: usize) -> Axes {
    Axes::new().with(Axis::Rows, rows).with(Axis::RouteBlocks, rows.div_ceil(ROUTE_BLOCK))
}

fn outputs(rows: &[bool], poisoned: &[&str]) -> Option<Vec<f32>> {
    let mut backend = open(WgpuOptions::default())?;
    let graph = ffn();
    load_random(&mut backend, &graph);
    for name in poisoned {
        load(&mut backend, &graph, name, &vec![f32::NAN; D * F]);
    }
    let program = prepare(&mut backend, &graph, axes(200));
    let x = random(rows.len() * D, 77);
    let table = routing(rows);
    let inputs = [("x", bytemuck::cast_slice(&x)), (ROUTING, bytemuck::cast_slice(&table))];
    let results = run(&mut backend, program, &graph, axes(rows.len()), &inputs).unwrap();
    Some(results["y"].f32s())
}

#[test]
fn nan_in_visual_experts_does_not_reach_text_rows() {
    let Some(y) = outputs(&[false; 130], &["w1_ve", "w3_ve", "w2_ve"]) else { return };
    assert!(y.iter().all(|v| v.is_finite()));
}

#[test]
fn nan_in_text_experts_does_not_reach_visual_rows() {
    let Some(y) = outputs(&[true; 67], &["w1", "w3", "w2"]) else { return };
    assert!(y.iter().all(|v| v.is_finite()));
}

#[test]
fn in_a_mixed_block_each_row_has_the_experts_of_its_own_modality_only() {
    let rows: Vec<bool> = (0..150).map(|i| i % 3 == 1 || (70..90).contains(&i)).collect();
    let Some(y) = outputs(&rows, &["w1_ve", "w3_ve", "w2_ve"]) else { return };
    for (i, row) in y.chunks(D).enumerate() {
        let nan = row.iter().all(|v| v.is_nan());
        let clean = row.iter().all(|v| v.is_finite());
        assert!(if rows[i] { nan } else { clean }, "row {i}");
    }
}

#[test]
fn a_row_alone_gives_the_same_as_among_others() {
    let Some(many) = outputs(&[false; 64], &[]) else { return };
    let Some(one) = outputs(&[false; 1], &[]) else { return };
    assert!(common::nmse(&one, &many[..D]) < 1e-10);
}
