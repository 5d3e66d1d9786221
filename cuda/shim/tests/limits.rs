//! What does not fit the words by which kernels are told sizes is refused before any memory is asked for.

use monolens_cuda::{CudaBackend, CudaOptions};
use monolens_cuda_shim::ShimGpu;
use monolens_graph::plan::Plan;
use monolens_graph::{Axes, Axis, Backend, BackendError, DType, GraphBuilder, ops};

#[test]
fn more_elements_than_a_word_counts_are_refused() {
    let gpu = match ShimGpu::open() {
        Ok(gpu) => gpu,
        Err(reason) => return println!("SKIPPED: {reason}"),
    };
    let mut backend = CudaBackend::on(gpu, &CudaOptions::default());
    let mut builder = GraphBuilder::new("wide");
    let x = builder.input("x", DType::F32, [Axis::Rows.into(), 8192.into()]);
    let y = builder.push("twice", ops::Add, &[x, x]).unwrap();
    builder.output("y", y).unwrap();
    let graph = builder.finish();
    let mut prepare = |rows| {
        let limits = Axes::new().with(Axis::Rows, rows);
        let plan = Plan::new(&graph, backend.capabilities(), limits);
        pollster::block_on(backend.prepare(plan)).map(|_| ())
    };
    prepare(1 << 10).unwrap();
    let error = prepare(1 << 19).unwrap_err();
    assert!(matches!(error, BackendError::Limit { .. }), "{error:?}");
    let told = "elements of x in wide: the device has 4294967295 at most, [524288, 8192] are needed";
    assert_eq!(error.to_string(), told);
    assert!(prepare(1 << 40).is_err());
}
