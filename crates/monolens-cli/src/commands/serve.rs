//! `monolens serve`: an OpenAI-compatible HTTP server.

use crate::args::{DeviceArgs, StorageArgs};
use crate::exit::Outcome;
use crate::session::{self, Session};
use crate::source::{ModelSource, RandomArgs};
use anyhow::{Context, Result};
use clap::Args;
use monolens_engine::{EngineOptions, open_backend};
use monolens_server::{Limits, Options, Server};
use std::path::PathBuf;
use std::time::Duration;

/// Holds the key, so that it need not stand in the list of processes.
const KEY_VARIABLE: &str = "MONOLENS_API_KEY";

/// Options of `monolens serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// A model folder or .safetensors file (default: the bundled checkpoint)
    pub model: Option<PathBuf>,
    /// Random weights in place of a checkpoint.
    #[command(flatten)]
    pub random: RandomArgs,
    /// How weights, keys and values are stored.
    #[command(flatten)]
    pub storage: StorageArgs,
    /// Address to listen on; 0.0.0.0 is every one of this machine
    #[arg(long, default_value = "127.0.0.1", help_heading = "Server")]
    pub host: String,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8080, help_heading = "Server")]
    pub port: u16,
    /// Key that clients must send (default: that in MONOLENS_API_KEY, or none)
    #[arg(long, value_name = "KEY", help_heading = "Server")]
    pub api_key: Option<String>,
    /// Web origin that may ask, such as `https://example.com`, or `*` for all (several: again)
    #[arg(long, value_name = "ORIGIN", help_heading = "Server")]
    pub cors: Vec<String>,
    /// Name of the model for clients (default: that of its folder)
    #[arg(long, value_name = "NAME", help_heading = "Server")]
    pub model_name: Option<String>,
    /// Tokens of a conversation, prompt and answer (default: the model's, 16384 at most)
    #[arg(long, value_name = "TOKENS", help_heading = "Limits", value_parser = clap::value_parser!(u32).range(1..))]
    pub context: Option<u32>,
    /// Tokens that all conversations and the prefix cache share (default: as --context)
    #[arg(long, value_name = "TOKENS", help_heading = "Limits", value_parser = clap::value_parser!(u32).range(1..))]
    pub kv_tokens: Option<u32>,
    /// Requests that are answered at once
    #[arg(long, value_name = "N", default_value_t = 8, help_heading = "Limits",
        value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub parallel: u16,
    /// Requests that may wait; more are refused with status 429
    #[arg(long, value_name = "N", default_value_t = 32, help_heading = "Limits")]
    pub max_queue: u16,
    /// Largest request, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 32, help_heading = "Limits",
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub max_body: u16,
    /// Most images in a request
    #[arg(long, value_name = "N", default_value_t = 32, help_heading = "Limits")]
    pub max_images: u16,
    /// Most pixels in a request's images together, in millions
    #[arg(long, value_name = "MP", default_value_t = 100, help_heading = "Limits",
        value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_pixels: u16,
    /// Most tiles an image, its thumbnail not counted (default: the model's)
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = clap::value_parser!(u16).range(1..=40))]
    pub max_tiles: Option<u16>,
    /// Longest time from a request to the end of its answer
    #[arg(long, value_name = "SECONDS", default_value_t = 600, help_heading = "Limits",
        value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub timeout: u32,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

impl ServeArgs {
    /// The server's options.
    fn options(&self) -> Options {
        let from_environment = || std::env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty());
        Options {
            host: self.host.clone(),
            port: self.port,
            api_key: self.api_key.clone().or_else(from_environment),
            cors: self.cors.clone(),
            limits: Limits {
                queue: usize::from(self.max_queue),
                body_bytes: usize::from(self.max_body) << 20,
                images: usize::from(self.max_images),
                pixels: u64::from(self.max_pixels) * 1_000_000,
                tiles: self.max_tiles.map(usize::from),
                request_time: Duration::from_secs(u64::from(self.timeout)),
            },
        }
    }

    fn engine_options(&self) -> EngineOptions {
        EngineOptions {
            context: self.context.map(|tokens| tokens as usize),
            kv_tokens: self.kv_tokens.map(|tokens| tokens as usize),
            sequences: usize::from(self.parallel),
            ..self.storage.options()
        }
    }
}

/// Runs the command, until it is interrupted.
///
/// # Errors
/// For an address that cannot be listened on, a device that is not there, a model that cannot run.
pub fn run(args: &ServeArgs, quiet: bool) -> Result<Outcome> {
    let source = ModelSource::of(&args.random, args.model.as_ref())?;
    let name = args.model_name.clone().unwrap_or_else(|| source.short_name());
    let options = args.options();
    let is_open = options.api_key.is_none();
    let server = Server::bind(options).context("cannot serve")?;
    let model = source.open()?;
    let session = session::load(model.clone(), &args.device, args.engine_options(), quiet)?;
    let Session { engine, reason, .. } = session;
    if !quiet {
        let device = session::device_line(engine.device());
        eprintln!("{name} on {device} ({reason})");
        if let Some(warning) = source.warning() {
            eprintln!("monolens: {warning}");
        }
        if is_open && !server.address().ip().is_loopback() {
            eprintln!("monolens: other machines can ask too, without a key: --api-key sets one");
        }
        let (context, parallel) = (engine.context(), args.parallel);
        eprintln!("listening on http://{} ({context} tokens, {parallel} at once)", server.address());
    }
    server.stop_on_signals();
    let choice = args.device.choice();
    let reopen = || pollster::block_on(open_backend(&choice)).map(|opened| opened.backend);
    server.run(&name, model, engine, Box::new(reopen))?;
    Ok(Outcome::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn parse(args: &[&str]) -> ServeArgs {
        let all = ["monolens", "serve"].iter().chain(args);
        match Cli::try_parse_from(all).unwrap().command {
            Some(Command::Serve(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_said_is_the_servers_default() {
        let expected = Options { api_key: parse(&[]).options().api_key, ..Options::default() };
        assert_eq!(parse(&[]).options(), expected);
        assert_eq!(parse(&[]).engine_options(), EngineOptions::default());
    }

    #[test]
    fn limits_are_given_in_the_units_of_their_help() {
        let args =
            ["--max-body", "2", "--max-pixels", "3", "--timeout", "4", "--api-key", "k", "--parallel", "5"];
        let options = parse(&args).options();
        let limits = &options.limits;
        assert_eq!((limits.body_bytes, limits.pixels), (2 << 20, 3_000_000));
        assert_eq!((limits.request_time.as_secs(), options.api_key.as_deref()), (4, Some("k")));
        assert_eq!(parse(&args).engine_options().sequences, 5);
    }
}
