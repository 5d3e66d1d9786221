//! The `monolens` command.
fn main() {}
