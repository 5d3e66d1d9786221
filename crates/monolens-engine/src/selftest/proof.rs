//! A self-test within a time limit: on a thread of its own, or in a process that may crash or be ended.

use super::checks::Check;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How often a process is asked whether it is done.
const POLL: Duration = Duration::from_millis(10);
/// Bytes of what a process says that are read at most.
const MOST: u64 = 1 << 20;

/// Characters of its last words that are told.
const MOST_TOLD: usize = 200;

/// What a self-test found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// All that was tried.
    pub checks: Vec<Check>,
    /// Why it did not come to its end.
    pub broken: Option<String>,
    /// Seconds that it took.
    pub seconds: f64,
}

/// Where a self-test runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// On a thread of this process: a device that hangs keeps it, a driver that crashes ends the process.
    #[default]
    Thread,
    /// In a process of its own: a program and its arguments, which writes a [`Proof`] as JSON.
    Process(Vec<OsString>),
}

impl Proof {
    /// What went wrong first; none if nothing did.
    pub fn fault(&self) -> Option<String> {
        let wrong =
            self.checks.iter().find_map(|c| c.fault.as_ref().map(|fault| format!("{}: {fault}", c.name)));
        match (&self.broken, self.checks.is_empty()) {
            (Some(reason), _) => Some(reason.clone()),
            (None, true) => Some("nothing was tried".into()),
            (None, false) => wrong,
        }
    }

    fn broken(reason: String, start: Instant) -> Self {
        Self { broken: Some(reason), seconds: start.elapsed().as_secs_f64(), ..Self::default() }
    }
}

/// Does work on a thread; what is not done in time goes on there, unheard.
pub fn on_thread(limit: Duration, work: impl FnOnce() -> Vec<Check> + Send + 'static) -> Proof {
    let start = Instant::now();
    let (done, checks) = mpsc::channel();
    let spawned = thread::Builder::new().name("self-test".into()).spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = done.send(work());
    });
    if let Err(error) = spawned {
        return Proof::broken(format!("it has no thread: {error}"), start);
    }
    match checks.recv_timeout(limit) {
        Ok(checks) => Proof { checks, broken: None, seconds: start.elapsed().as_secs_f64() },
        Err(mpsc::RecvTimeoutError::Timeout) => Proof::broken(not_done(limit), start),
        Err(mpsc::RecvTimeoutError::Disconnected) => Proof::broken("it panicked".into(), start),
    }
}

fn not_done(limit: Duration) -> String {
    format!("it was not done within {} s", limit.as_secs_f64())
}

/// Runs a command that writes a [`Proof`]; it is ended where it takes too long.
pub fn in_process(limit: Duration, command: &[OsString]) -> Proof {
    let start = Instant::now();
    let Some((program, arguments)) = command.split_first() else {
        return Proof::broken("there is no program for it".into(), start);
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Proof::broken(format!("its process does not start: {error}"), start),
    };
    // Both are read while it runs: a full pipe would stop it.
    let said = [read(child.stdout.take()), read(child.stderr.take())];
    let status = wait(&mut child, start + limit);
    let Some(status) = status else { return Proof::broken(not_done(limit), start) };
    let [out, err] = said.map(|text| text.recv().unwrap_or_default());
    match serde_json::from_str(&out) {
        Ok(proof) if status.success() => proof,
        _ => {
            let last = err.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            let last: String = last.chars().take(MOST_TOLD).collect();
            let told = if last.is_empty() { String::new() } else { format!(": {last}") };
            Proof::broken(format!("its process ended with {status}{told}"), start)
        }
    }
}

/// What a process writes, once it is done.
fn read(from: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (done, text) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            // What came before an error is what there is; what is too much is read, lest the process waits.
            let _ = from.by_ref().take(MOST).read_to_end(&mut bytes);
            let _ = std::io::copy(&mut from, &mut std::io::sink());
        }
        let _ = done.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    text
}

/// Waits for a process; none if it had to be ended.
fn wait(child: &mut Child, end: Instant) -> Option<ExitStatus> {
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= end {
            // It may have ended by itself just now, which is as good.
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    fn check(fault: Option<&str>) -> Check {
        let fault = fault.map(str::to_owned);
        Check { name: "adding".into(), fault, detail: "1 operator".into(), seconds: 0.5 }
    }

    #[test]
    fn the_first_fault_is_told_with_what_was_tried() {
        let proof = |faults: &[Option<&str>]| Proof {
            checks: faults.iter().map(|&fault| check(fault)).collect(),
            ..Proof::default()
        };
        assert_eq!(proof(&[None, None]).fault(), None);
        assert_eq!(proof(&[None, Some("2"), Some("3")]).fault().as_deref(), Some("adding: 2"));
        assert_eq!(proof(&[]).fault().as_deref(), Some("nothing was tried"));
    }

    #[test]
    fn a_thread_that_panics_or_takes_too_long_is_told() {
        assert_eq!(on_thread(LONG, || vec![check(None)]).fault(), None);
        let late = on_thread(SHORT, || {
            thread::sleep(Duration::from_millis(500));
            vec![check(None)]
        });
        assert_eq!(late.fault().as_deref(), Some("it was not done within 0.05 s"));
        assert_eq!(on_thread(LONG, || panic!("on purpose")).fault().as_deref(), Some("it panicked"));
    }

    #[cfg(unix)]
    #[test]
    fn a_process_gives_its_proof_or_how_it_ended() {
        let shell = |script: &str| ["sh", "-c", script].map(OsString::from);
        let proof = Proof { checks: vec![check(Some("wrong"))], ..Proof::default() };
        let script = format!("echo '{}'", serde_json::to_string(&proof).unwrap());
        assert_eq!(in_process(LONG, &shell(&script)), proof);
        let fault = |limit, script: &str| in_process(limit, &shell(script)).fault().unwrap();
        let crashed = fault(LONG, "echo 'no device' >&2; kill -9 $$");
        assert!(
            crashed.starts_with("its process ended with signal: 9") && crashed.ends_with(": no device"),
            "{crashed}"
        );
        assert_eq!(fault(LONG, "echo nothing"), "its process ended with exit status: 0");
        let start = Instant::now();
        assert_eq!(fault(SHORT, "exec sleep 30"), "it was not done within 0.05 s");
        assert!(start.elapsed() < Duration::from_secs(20), "it is not waited for");
        // More than a pipe holds.
        let much = "head -c 300000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero | tr '\\0' x >&2";
        assert!(fault(LONG, much).starts_with("its process ended with exit status: 0: xxx"));
        let none = in_process(LONG, &["monolens-no-such-program".into()]).fault().unwrap();
        assert!(none.starts_with("its process does not start"), "{none}");
    }
}
