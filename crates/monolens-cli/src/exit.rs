//! How a command ends: 0 is fine, 1 a verification that failed, 2 bad input, wrong usage or something unavailable.

use std::io::{self, Write};
use std::process::ExitCode;

/// How a command ended that could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Fine,
    /// The work was done, and what was verified is wrong.
    Failed,
}

/// Writes an error to stderr as one paragraph: what was being done, and each cause behind it.
fn report(error: &anyhow::Error) {
    let mut causes: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        // Errors that print their source themselves would repeat it.
        if !causes.last().is_some_and(|last| last.ends_with(&text)) {
            causes.push(text);
        }
    }
    // Without stderr there is nobody to tell.
    let _ = writeln!(io::stderr(), "monolens: {}", causes.join(": "));
}

/// The status of the process.
pub fn status(result: anyhow::Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(1),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(2)
        }
    }
}

/// Whether the reader of stdout went away (`monolens .. | head`): nothing went wrong then.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn a_closed_pipe_is_no_error() {
        let error = anyhow!(io::Error::from(io::ErrorKind::BrokenPipe)).context("stdout");
        assert_eq!(status(Err(error)), ExitCode::SUCCESS);
    }

    #[test]
    fn the_status_tells_bad_input_from_a_failed_verification() {
        assert_eq!(status(Ok(Outcome::Failed)), ExitCode::from(1));
        assert_eq!(status(Err(anyhow!("no such file"))), ExitCode::from(2));
        let nested: anyhow::Result<Outcome> = Err(anyhow!("inner")).context("outer");
        assert_eq!(status(nested), ExitCode::from(2));
    }
}
