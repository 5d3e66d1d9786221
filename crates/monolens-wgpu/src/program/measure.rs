//! A run whose operators are measured one by one, by the device's own clock where it has one that can be asked.

use super::{Program, Resources};
use monolens_graph::backend::Job;
use monolens_graph::{BackendError, Cost, Lookback, OpTime, batch};
use std::time::Duration;
use web_time::Instant;

/// Bytes of a tick count.
const COUNT: u64 = 8;

impl Program {
    /// Launches everything, each operator in a pass of its own that is waited for.
    pub(super) async fn measure(
        &self,
        job: &Job<'_>,
        with: &mut Resources<'_>,
    ) -> Result<Vec<OpTime>, BackendError> {
        let Some((_, params)) = &self.params else { return Ok(Vec::new()) };
        let gpu = with.gpu;
        let count = 2 * self.ends.len() as u32;
        let clock = gpu.tick.filter(|_| (1..=wgpu::QUERY_SET_MAX_QUERIES).contains(&count)).map(|tick| {
            let set = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("times"),
                ty: wgpu::QueryType::Timestamp,
                count,
            });
            (set, tick)
        });
        gpu.settle("a run").await?;
        let mut by_host = Vec::with_capacity(self.ends.len());
        let mut first = 0;
        for (step, &end) in (0_u32..).zip(&self.ends) {
            let times = clock.as_ref().map(|(set, _)| wgpu::ComputePassTimestampWrites {
                query_set: set,
                beginning_of_pass_write_index: Some(2 * step),
                end_of_pass_write_index: Some(2 * step + 1),
            });
            let mut encoder = gpu.device.create_command_encoder(&Default::default());
            let pass = wgpu::ComputePassDescriptor { label: None, timestamp_writes: times };
            self.record(&mut encoder.begin_compute_pass(&pass), params, first..end);
            first = end;
            let commands = encoder.finish();
            let begun = Instant::now();
            gpu.wait_for(gpu.queue.submit([commands]));
            by_host.push(begun.elapsed());
        }
        let seconds = match clock {
            Some((set, tick)) => ticks(with, &set, count)
                .await?
                .chunks_exact(2)
                .map(|t| (t[1].saturating_sub(t[0])) as f64 * tick * 1e-9)
                .collect(),
            None => by_host.iter().map(Duration::as_secs_f64).collect::<Vec<_>>(),
        };
        let rows: Vec<_> = job
            .inputs
            .get(batch::ROWS)
            .map_or_else(Vec::new, |bytes| bytemuck::allocation::pod_collect_to_vec(bytes));
        let lookback = Lookback::of(&rows);
        let graph = &self.plan.graph;
        let bytes = |spec: &monolens_graph::WeightSpec| match with.weights.by_name.get(&spec.name) {
            Some(weight) if weight.matrix_bytes() > 0 => weight.matrix_bytes() as f64,
            _ => 4.0 * spec.shape.iter().product::<usize>() as f64,
        };
        let times = graph.nodes.iter().zip(seconds).map(|(node, seconds)| {
            OpTime::new(graph, node, Cost::of(graph, node, &job.axes, lookback, &bytes), seconds)
        });
        Ok(times.collect())
    }
}

/// What a query set holds.
async fn ticks(with: &Resources<'_>, set: &wgpu::QuerySet, count: u32) -> Result<Vec<u64>, BackendError> {
    let size = COUNT * u64::from(count);
    let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
    let buffer = with.gpu.buffer("times", size, usage)?;
    let mut encoder = with.gpu.device.create_command_encoder(&Default::default());
    encoder.resolve_query_set(set, 0..count, &buffer, 0);
    with.gpu.queue.submit([encoder.finish()]);
    let bytes = with.gpu.read(&[(buffer, 0, size)], &mut None).await?;
    Ok(bytes.first().map_or_else(Vec::new, |bytes| bytemuck::allocation::pod_collect_to_vec(bytes)))
}
