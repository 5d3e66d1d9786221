//! Ctrl-C and SIGTERM.

use crate::server::Stopper;
use std::io;

/// Exit status of a process that was interrupted.
const STATUS: i32 = 130;

/// Stops a server at the first signal, the process at the second.
pub(crate) async fn stop_on(stopper: Stopper) {
    match wait(2, || {
        log::warn!("stopping: running answers are finished; once more ends at once");
        stopper.stop();
    })
    .await
    {
        Ok(()) => std::process::exit(STATUS),
        Err(error) => log::error!("cannot listen for signals: {error}"),
    }
}

/// Waits for so many signals; `on_first` is called after the first.
#[cfg(unix)]
async fn wait(count: usize, on_first: impl Fn()) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    for n in 0..count {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if n == 0 {
            on_first();
        }
    }
    Ok(())
}

/// Waits for so many signals; `on_first` is called after the first.
#[cfg(not(unix))]
async fn wait(count: usize, on_first: impl Fn()) -> io::Result<()> {
    for n in 0..count {
        tokio::signal::ctrl_c().await?;
        if n == 0 {
            on_first();
        }
    }
    Ok(())
}
