//! Golden data of the reference implementation against this engine.

pub mod compare;
pub mod golden;
pub mod images;
mod preprocess;
mod prompt;
pub mod report;
mod tokenizer;
