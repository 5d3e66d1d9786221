//! Opening devices, tiers, and what happens when one is lost.

mod common;

use common::{load_random, open, prepare, random, run};
use monolens_graph::{Axes, Axis, Backend, BackendError, DType, Graph, GraphBuilder, ops};
use monolens_wgpu::{Tier, WgpuBackend, WgpuOptions, adapters};

fn gelu() -> Graph {
    let mut g = GraphBuilder::new("gelu");
    let x = g.input("x", DType::F32, [Axis::Rows.into(), 8.into()]);
    let y = g.push("gelu", ops::Gelu, &[x]).unwrap();
    g.output("y", y).unwrap();
    g.finish()
}

#[test]
fn every_tier_opens_or_says_what_it_lacks() {
    let Some(backend) = open(WgpuOptions::default()) else { return };
    let name = backend.device().name.clone();
    let listed = pollster::block_on(adapters());
    let report = listed.iter().find(|a| a.name == name).expect("the adapter is listed");
    assert!(report.tiers.contains(&Tier::Baseline));
    for tier in Tier::ALL {
        let options = WgpuOptions { tier: Some(tier), allow_software: true, ..WgpuOptions::default() };
        match pollster::block_on(WgpuBackend::open(options)) {
            Ok(opened) => assert_eq!(opened.tier(), tier),
            Err(error) => {
                let told = matches!(error, BackendError::Limit { .. } | BackendError::Unavailable { .. });
                assert!(told && error.to_string().contains(tier.name()), "{error}");
                assert!(tier > Tier::Baseline);
            }
        }
    }
}

#[test]
fn the_baseline_tier_is_opened_with_the_default_limits_of_webgpu() {
    let options = WgpuOptions { tier: Some(Tier::Baseline), ..WgpuOptions::default() };
    let Some(backend) = open(options) else { return };
    assert_eq!(backend.capabilities().max_binding, 128 << 20);
    assert_eq!(backend.device().tier, "baseline");
}

#[test]
fn tiers_are_ordered_and_have_names() {
    assert!(Tier::Baseline < Tier::Half && Tier::Half < Tier::Subgroups && Tier::Subgroups < Tier::Matrix);
    for tier in Tier::ALL {
        assert_eq!(Tier::from_name(tier.name()), Some(tier));
    }
    assert!(Tier::Baseline.features().is_empty());
}

#[test]
fn an_adapter_that_is_not_there_is_refused_with_those_that_are() {
    let options = WgpuOptions { adapter: Some("no such adapter".into()), ..WgpuOptions::default() };
    let error = pollster::block_on(WgpuBackend::open(options)).err().expect("no such adapter");
    assert!(matches!(error, BackendError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("no such adapter"));
}

#[test]
fn a_software_adapter_is_not_taken_unless_allowed() {
    match pollster::block_on(WgpuBackend::open(WgpuOptions::default())) {
        Ok(backend) => assert!(backend.device().is_gpu),
        Err(error) => assert!(matches!(error, BackendError::Unavailable { .. }), "{error}"),
    }
}

#[test]
fn a_run_after_the_device_was_lost_says_so() {
    let Some(mut backend) = open(WgpuOptions::default()) else { return };
    let graph = gelu();
    let axes = Axes::new().with(Axis::Rows, 2);
    let program = prepare(&mut backend, &graph, axes);
    let x = random(16, 3);
    let inputs = [("x", bytemuck::cast_slice(&x))];
    run(&mut backend, program, &graph, axes, &inputs).unwrap();
    backend.destroyer()();
    let error = run(&mut backend, program, &graph, axes, &inputs).unwrap_err();
    assert!(matches!(error, BackendError::DeviceLost { .. }), "{error}");
    let error = backend.allocate_state("s", DType::F32, 4, 4).unwrap_err();
    assert!(matches!(error, BackendError::DeviceLost { .. }), "{error}");
}

#[test]
fn no_rows_are_no_dispatches_and_an_empty_output() {
    let Some(mut backend) = open(WgpuOptions::default()) else { return };
    let graph = gelu();
    let program = prepare(&mut backend, &graph, Axes::new().with(Axis::Rows, 2));
    assert!(backend.dispatches(program, &Axes::new()).is_empty());
    let results = run(&mut backend, program, &graph, Axes::new(), &[("x", &[])]).unwrap();
    assert!(results["y"].bytes.is_empty());
}

#[test]
fn a_run_that_does_not_fit_its_program_is_refused() {
    let Some(mut backend) = open(WgpuOptions::default()) else { return };
    let graph = gelu();
    let axes = Axes::new().with(Axis::Rows, 2);
    let program = prepare(&mut backend, &graph, axes);
    let x = random(24, 3);
    let short = [("x", bytemuck::cast_slice(&x[..8]))];
    let long = [("x", bytemuck::cast_slice(&x))];
    let error = run(&mut backend, program, &graph, axes, &short).unwrap_err();
    assert!(error.to_string().contains("64 bytes"), "{error}");
    let error = run(&mut backend, program, &graph, axes.with(Axis::Rows, 3), &long).unwrap_err();
    assert!(error.to_string().contains("at most 2"), "{error}");
    let error = run(&mut backend, program, &graph, axes, &[]).unwrap_err();
    assert!(error.to_string().contains("no such input"), "{error}");
}

#[test]
fn a_weight_in_another_shape_or_size_is_refused() {
    let Some(mut backend) = open(WgpuOptions::default()) else { return };
    let mut g = GraphBuilder::new("linear");
    let x = g.input("x", DType::F32, [Axis::Rows.into(), 8.into()]);
    let weight = g.weight("w", [4, 8]);
    let y = g.push("w", ops::Linear::shared(weight, None), &[x]).unwrap();
    g.output("y", y).unwrap();
    let graph = g.finish();
    let prepare = |backend: &mut WgpuBackend| {
        let plan = monolens_graph::plan::Plan::new(&graph, backend.capabilities(), Axes::new());
        pollster::block_on(backend.prepare(plan)).map(|_| ())
    };
    assert!(prepare(&mut backend).unwrap_err().to_string().contains("none loaded"));
    let spec = monolens_graph::WeightSpec { name: "w".into(), shape: vec![8, 4] };
    backend.begin_weight(&spec, DType::BF16.into()).unwrap();
    assert!(backend.write_weight(&[0; 65]).is_err(), "more bytes than the weight has");
    backend.begin_weight(&spec, DType::BF16.into()).unwrap();
    backend.write_weight(&[0; 63]).unwrap();
    assert!(backend.end_weight().is_err(), "fewer bytes than the weight has");
    backend.begin_weight(&spec, DType::BF16.into()).unwrap();
    backend.write_weight(&[0; 64]).unwrap();
    backend.end_weight().unwrap();
    assert!(prepare(&mut backend).unwrap_err().to_string().contains("[8, 4]"));
    load_random(&mut backend, &graph);
    prepare(&mut backend).unwrap();
}

/// Runs itself again in a process without any driver.
#[test]
fn opening_without_a_driver_is_an_error() {
    if std::env::var_os("MONOLENS_TEST_NO_DRIVER").is_none() {
        let this = std::env::current_exe().unwrap();
        let child = std::process::Command::new(this)
            .args(["--exact", "opening_without_a_driver_is_an_error"])
            .env("MONOLENS_TEST_NO_DRIVER", "1")
            .env("VK_DRIVER_FILES", "/nonexistent")
            .env("VK_ICD_FILENAMES", "/nonexistent")
            .status();
        assert!(child.unwrap().success());
        return;
    }
    if !cfg!(target_os = "linux") {
        return;
    }
    assert!(pollster::block_on(adapters()).is_empty());
    let options = WgpuOptions { allow_software: true, ..WgpuOptions::default() };
    let error = pollster::block_on(WgpuBackend::open(options)).err().expect("no driver");
    assert!(matches!(error, BackendError::Unavailable { .. }), "{error}");
}

#[test]
fn a_measured_run_gives_the_same_and_a_time_for_each_operator() {
    let Some(mut backend) = open(WgpuOptions::default()) else { return };
    let mut g = GraphBuilder::new("two");
    let x = g.input("x", DType::F32, [Axis::Rows.into(), 64.into()]);
    let weight = g.weight("w", [96, 64]);
    let y = g.push("w", ops::Linear::shared(weight, None), &[x]).unwrap();
    let y = g.push("add", ops::Add, &[y, y]).unwrap();
    g.output("y", y).unwrap();
    let graph = g.finish();
    load_random(&mut backend, &graph);
    let axes = Axes::new().with(Axis::Rows, 5);
    let program = prepare(&mut backend, &graph, axes);
    let x = random(5 * 64, 3);
    let inputs = [("x", bytemuck::cast_slice(&x))];
    let plain = run(&mut backend, program, &graph, axes, &inputs).unwrap();
    backend.profile(true);
    let measured = run(&mut backend, program, &graph, axes, &inputs).unwrap();
    let times = backend.profile(false).unwrap();
    assert_eq!(plain, measured);
    let names: Vec<_> = times.iter().map(|time| (time.op, time.widths)).collect();
    assert_eq!(names, [("linear", [64, 96]), ("add", [96, 96])]);
    assert_eq!(times[0].cost.flops, 2.0 * 5.0 * 64.0 * 96.0);
    assert!(times.iter().all(|time| time.seconds > 0.0 && time.seconds < 10.0), "{times:?}");
    run(&mut backend, program, &graph, axes, &inputs).unwrap();
    assert!(backend.profile(false).unwrap().is_empty(), "not measured any more");
}
