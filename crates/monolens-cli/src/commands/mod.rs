//! The commands, one file each.

pub mod bench;
pub mod chat;
pub mod convert;
pub mod doctor;
pub mod inspect;
pub mod run;
pub mod serve;
pub mod tune;
pub mod verify;
