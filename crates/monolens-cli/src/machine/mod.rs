//! What this machine has: processor, memory, graphics hardware and drivers, and what is missing.

mod adapters;
mod advice;
mod cpu;
mod drivers;

pub use adapters::{Adapter, adapters};
pub use advice::{Advice, advise};
pub use cpu::{Cpu, cpu};
pub use drivers::{Drivers, GraphicsCard, drivers};
