//! The engine's warnings and errors in the browser's console.

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Console;

impl Log for Console {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        let text = format!("{}: {}", record.target(), record.args()).into();
        match record.level() {
            Level::Error => web_sys::console::error_1(&text),
            Level::Warn => web_sys::console::warn_1(&text),
            _ => {}
        }
    }

    fn flush(&self) {}
}

/// Shows warnings and errors.
pub(crate) fn install() {
    // There is a logger only if the module was started twice.
    if log::set_logger(&Console).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
