//! What a tuning chooses is what is launched; it changes neither results nor how many launches there are.

mod common;

use common::{load_random, nmse, open, prepare, random, run};
use monolens_graph::{Axes, Axis, Backend, DType, Graph, GraphBuilder, WeightFormat, ops};
use monolens_wgpu::{Choice, Class, Decode, Prefill, Tier, Tile, Tuning, WgpuBackend, WgpuOptions};

const D: usize = 72;
const F: usize = 200;
const F32: WeightFormat = WeightFormat::Plain(DType::F32);

/// A normed feed-forward network: gate_up in one class, its way back in another.
fn ffn() -> Graph {
    let mut g = GraphBuilder::new("ffn");
    let x = g.input("x", DType::F32, [Axis::Rows.into(), D.into()]);
    let weight = g.weight("norm", [D]);
    let (w1, w3, w2) = (g.weight("w1", [F, D]), g.weight("w3", [F, D]), g.weight("w2", [D, F]));
    let z = g.push("norm", ops::RmsNorm { weight, eps: 1e-5 }, &[x]).unwrap();
    let gate = g.push("w1", ops::Linear::shared(w1, None), &[z]).unwrap();
    let up = g.push("w3", ops::Linear::shared(w3, None), &[z]).unwrap();
    let h = g.push("swiglu", ops::SwiGlu, &[gate, up]).unwrap();
    let y = g.push("w2", ops::Linear::shared(w2, None), &[h]).unwrap();
    g.output("y", y).unwrap();
    g.finish()
}

fn axes(rows: usize) -> Axes {
    Axes::new().with(Axis::Rows, rows)
}

/// A backend without subgroups and matrix units, with the weights.
fn baseline() -> Option<WgpuBackend> {
    let mut backend = open(WgpuOptions { tier: Some(Tier::Baseline), ..WgpuOptions::default() })?;
    load_random(&mut backend, &ffn());
    Some(backend)
}

/// The kernels for so many rows, the operators of the launches, and the result.
fn launched(
    backend: &mut WgpuBackend,
    tuning: Tuning,
    rows: usize,
) -> (Vec<String>, Vec<&'static str>, Vec<f32>) {
    backend.set_tuning(tuning);
    let graph = ffn();
    let program = prepare(backend, &graph, axes(150));
    let x = random(rows * D, 9);
    let results = run(backend, program, &graph, axes(rows), &[("x", bytemuck::cast_slice(&x))]).unwrap();
    let kernels = backend.kernels(program, &axes(rows));
    (kernels, backend.dispatches(program, &axes(rows)), results["y"].f32s())
}

#[test]
fn a_choice_is_launched_for_its_class_only() {
    let Some(mut backend) = baseline() else { return };
    let mut tuning = Tuning::default();
    let choice = Choice { prefill: Some(Prefill::Tiles(Tile::ALL[1])), decode: Some(Decode::ALL[2]) };
    tuning.set(Class::of(F32, D, 2 * F), choice);
    let (one, operators, tuned) = launched(&mut backend, tuning.clone(), 1);
    assert_eq!(operators, ["gate_up", "linear"]);
    assert_eq!(one, ["gate_up+few+single+norm+f32 0=4 1=16", "linear+few+single+f32 0=2 1=32"]);
    let (many, operators, tuned_many) = launched(&mut backend, tuning, 150);
    assert_eq!(operators, ["gate_up", "linear"]);
    assert_eq!(many, ["gate_up+many+f32 0=16 1=8 2=16", "linear+many+f32 0=32 1=8 2=16"]);

    let (one, operators, default) = launched(&mut backend, Tuning::default(), 1);
    assert_eq!(operators, ["gate_up", "linear"]);
    assert_eq!(one[0], "gate_up+few+single+norm+f32 0=2 1=32");
    assert!(nmse(&tuned, &default) < 1e-12);
    let (many, _, default) = launched(&mut backend, Tuning::default(), 150);
    assert_eq!(many[0], "gate_up+many+f32 0=32 1=8 2=16");
    assert!(nmse(&tuned_many, &default) < 1e-12);
}

#[test]
fn every_preset_gives_the_same_in_as_many_launches() {
    let Some(mut backend) = baseline() else { return };
    // Single, several, many; with rows left over in the last block.
    let rows = [1, 6, 130];
    let default = rows.map(|rows| launched(&mut backend, Tuning::default(), rows));
    for (tile, decode) in Tile::ALL.into_iter().zip(Decode::ALL) {
        let choice = Choice { prefill: Some(Prefill::Tiles(tile)), decode: Some(decode) };
        for (rows, (_, operators, want)) in rows.iter().zip(&default) {
            let (_, got_operators, got) = launched(&mut backend, Tuning::everywhere(choice), *rows);
            let error = nmse(&got, want);
            assert!(error < 1e-12, "{tile} {decode}, {rows} rows: {error}");
            assert_eq!(&got_operators, operators);
        }
    }
}

#[test]
fn what_the_device_cannot_do_is_passed_over() {
    let Some(mut backend) = baseline() else { return };
    for prefill in [Prefill::Matrix, Prefill::Lanes] {
        assert!(!backend.prefill_presets(F32).contains(&prefill));
        let choice = Choice { prefill: Some(prefill), decode: None };
        let (many, ..) = launched(&mut backend, Tuning::everywhere(choice), 150);
        assert_eq!(many[0], "gate_up+many+f32 0=32 1=8 2=16");
    }
}

#[test]
fn backends_on_the_same_device_take_the_same() {
    let Some(mut backend) = baseline() else { return };
    let tuning = Tuning::everywhere(Choice { prefill: None, decode: Some(Decode::ALL[1]) });
    backend.set_tuning(tuning.clone());
    assert_eq!(backend.sibling()().tuning(), &tuning);
}
