//! Monolens.
