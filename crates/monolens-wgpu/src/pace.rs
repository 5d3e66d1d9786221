//! How much work is handed to the device at a time.
//!
//! A GPU finishes what it began before it draws a frame for anybody else, a browser's page included. So a run is cut into
//! submits of about [`TARGET`] seconds, by the rate that the program was measured to run at, and only [`UNDER_WAY`] of
//! them wait on the device at once.

use crate::gpu::Gpu;
use futures_channel::oneshot::{Receiver, channel};
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use web_time::Instant;

/// Seconds that a submit should take: a page must draw at least every 50 ms, a desktop is content with less.
const TARGET: f64 = if cfg!(target_arch = "wasm32") { 0.012 } else { 0.1 };
/// Work of a submit before anything was measured.
const FIRST: f64 = if cfg!(target_arch = "wasm32") { 2e8 } else { 4e10 };
/// Submits on the device at once: one runs, the others keep it busy.
const UNDER_WAY: usize = 2;
/// Part of a measurement in the rate that is believed.
const TRUST: f64 = 0.5;

/// The work that a program was measured to do in a second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rate(Rc<Cell<Option<f64>>>);

impl Rate {
    /// Work of the next submit.
    pub fn budget(&self) -> f64 {
        self.0.get().map_or(FIRST, |rate| rate * TARGET)
    }

    /// Seconds that this work takes, once that is known.
    pub fn seconds(&self, work: f64) -> Option<f64> {
        self.0.get().map(|rate| work / rate)
    }

    fn measured(&self, work: f64, seconds: f64) {
        let now = work / seconds.max(1e-6);
        self.0.set(Some(self.0.get().map_or(now, |rate| rate + TRUST * (now - rate))));
    }
}

struct Submit {
    done: Receiver<Instant>,
    begun: Instant,
    work: f64,
    rate: Rate,
    index: wgpu::SubmissionIndex,
}

/// The submits that are under way.
#[derive(Default)]
pub(crate) struct Pace {
    submits: VecDeque<Submit>,
    /// When the last of those before them was done.
    last: Option<Instant>,
}

impl Pace {
    /// Submits commands of this much work, when there is room for them.
    pub async fn submit(&mut self, gpu: &Gpu, commands: wgpu::CommandBuffer, work: f64, rate: &Rate) {
        while self.submits.len() >= UNDER_WAY {
            self.wait_for_one(gpu).await;
        }
        let (sender, done) = channel();
        let index = gpu.queue.submit([commands]);
        gpu.queue.on_submitted_work_done(move || {
            // Nobody waits any more if the run was given up.
            let _ = sender.send(Instant::now());
        });
        self.submits.push_back(Submit { done, begun: Instant::now(), work, rate: rate.clone(), index });
    }

    async fn wait_for_one(&mut self, gpu: &Gpu) {
        let Some(submit) = self.submits.pop_front() else { return };
        gpu.wait_for(submit.index);
        // No answer comes from a lost device.
        let Ok(done) = submit.done.await else { return };
        // It began when it was handed over or when the one before it was done, whichever was later.
        let begun = self.last.map_or(submit.begun, |last| last.max(submit.begun));
        submit.rate.measured(submit.work, (done - begun).as_secs_f64());
        self.last = Some(done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submit_is_as_large_as_was_measured_to_fit() {
        let rate = Rate::default();
        assert_eq!((rate.budget(), rate.seconds(1.0)), (FIRST, None));
        rate.measured(1e9, 1.0);
        assert_eq!(rate.budget(), 1e9 * TARGET);
        (0..20).for_each(|_| rate.measured(4e9, 1.0));
        assert!((rate.seconds(4e9).unwrap() - 1.0).abs() < 1e-3);
    }
}
