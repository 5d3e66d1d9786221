//! The server over real HTTP: each test starts one on a free port, on the CPU with reference arithmetic.

mod answers;
mod faults;
mod faulty;
mod limits;
mod refusals;
mod running;
