//! What this machine has: processor, memory, graphics hardware and drivers, and what is missing.

mod adapters;
mod advice;
mod cpu;
mod cuda;
mod drivers;
mod selftest;

pub use adapters::{Adapter, adapters};
pub use advice::{Advice, advise};
pub use cpu::{Cpu, cpu};
pub use cuda::{Cuda, cuda};
pub use drivers::{Drivers, GraphicsCard, drivers};
pub use selftest::{SelfTest, kept, prove, self_test};
