//! A server: HTTP on a thread of its own, the engine on the caller's.

use crate::http;
use crate::options::Options;
use crate::signals;
use crate::state::{App, Hosted, Job, Shared};
use crate::worker::{Reopen, Worker};
use monolens_engine::Engine;
use monolens_models::Model;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {host}:{port}")]
    Listen {
        /// The host asked for.
        host: String,
        /// The port asked for.
        port: u16,
        /// Why not.
        source: io::Error,
    },
    /// An option makes no sense.
    #[error("{name}: {reason}")]
    Option {
        /// The option.
        name: &'static str,
        /// What was expected and what came.
        reason: String,
    },
    /// The system gave no thread.
    #[error("cannot start the HTTP thread")]
    Thread(#[source] io::Error),
    /// Two metrics have one name.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// The HTTP thread panicked.
    #[error("the HTTP thread ended in a panic")]
    Panicked,
}

/// A server that listens. Until [`Server::run`] it answers 503; when it is dropped it stops.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    jobs: mpsc::UnboundedReceiver<Job>,
    runtime: Handle,
    http: Option<JoinHandle<()>>,
}

/// Ends a [`Server`] from any thread.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Shared>);

impl Stopper {
    /// Running answers are finished, new requests refused; then [`Server::run`] returns.
    pub fn stop(&self) {
        self.0.stop();
    }
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// An address that is taken or not this machine's; options that make no sense.
    pub fn bind(options: Options) -> Result<Self, ServerError> {
        let cors =
            http::cors(&options.cors).map_err(|reason| ServerError::Option { name: "cors", reason })?;
        if options.api_key.as_ref().is_some_and(|key| key.trim() != key || key.is_empty()) {
            let reason = "expected a text without spaces around it, got none".to_owned();
            return Err(ServerError::Option { name: "api_key", reason });
        }
        let runtime = Builder::new_current_thread().enable_all().build().map_err(ServerError::Thread)?;
        let (host, port) = (options.host.clone(), options.port);
        let listen = |source| ServerError::Listen { host: host.clone(), port, source };
        let listener =
            runtime.block_on(tokio::net::TcpListener::bind((host.as_str(), port))).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let shared = Arc::new(Shared::new(options)?);
        let (sender, jobs) = mpsc::unbounded_channel();
        let router = http::router(App { shared: Arc::clone(&shared), jobs: sender }, cors);
        let handle = runtime.handle().clone();
        let serving = Arc::clone(&shared);
        let http = std::thread::Builder::new().name("http".into()).spawn(move || {
            runtime.block_on(http::serve(listener, router, serving));
            // An image that is still being decoded is for nobody.
            runtime.shutdown_timeout(Duration::ZERO);
        });
        let http = Some(http.map_err(ServerError::Thread)?);
        Ok(Self { address, shared, jobs, runtime: handle, http })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.shared))
    }

    /// Ctrl-C, or SIGTERM on Unix, stops the server; the second one ends the process at once with status 130.
    pub fn stop_on_signals(&self) {
        self.runtime.spawn(signals::stop_on(self.stopper()));
    }

    /// Answers requests with this model until the server is stopped. The engine stays on this thread; `reopen` opens
    /// its device again after it was lost.
    ///
    /// # Errors
    /// [`ServerError::Panicked`].
    pub fn run(
        mut self,
        name: &str,
        model: Arc<Model>,
        engine: Engine,
        reopen: Box<Reopen<'_>>,
    ) -> Result<(), ServerError> {
        let sequences = engine.options().sequences;
        self.shared.host(Hosted::new(name.to_owned(), model, engine.context(), sequences));
        Worker::new(engine, reopen, &mut self.jobs, &self.shared).run();
        let joined = self.http.take().map_or(Ok(()), JoinHandle::join);
        joined.map_err(|_| ServerError::Panicked)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop();
    }
}
