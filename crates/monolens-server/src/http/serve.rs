//! Connections: taken while there is room, closed when they are silent for long, finished when the server stops.

use crate::state::Shared;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

/// Connections at a time; others wait in the system's queue.
const MOST_CONNECTIONS: u32 = 1024;

/// Longest wait for a request's head, on a new connection or after an answer.
const HEAD: Duration = Duration::from_secs(30);

/// After the last answer is made, slow clients have this long to take it.
const FAREWELL: Duration = Duration::from_secs(5);

/// Answers until the server stops and running answers ended.
pub(crate) async fn serve(listener: TcpListener, router: Router, shared: Arc<Shared>) {
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS as usize));
    loop {
        let next = tokio::select! {
            () = shared.stopping() => break,
            next = accept(&listener, &connections) => next,
        };
        if let Some((stream, room)) = next {
            tokio::spawn(answer(stream, room, router.clone(), Arc::clone(&shared)));
        }
    }
    drop(listener);
    shared.drained().await;
    let _ = timeout(FAREWELL, connections.acquire_many(MOST_CONNECTIONS)).await;
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let room = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Pieces of a streamed answer are small and wanted at once.
            let _ = stream.set_nodelay(true);
            Some((stream, room))
        }
        Err(error) => {
            // The client left already, or there are too many open files: a moment later there may be fewer.
            log::warn!("cannot take a connection: {error}");
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn answer(stream: TcpStream, room: OwnedSemaphorePermit, router: Router, shared: Arc<Shared>) {
    let service = TowerToHyperService::new(router);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shared.stopping() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        log::debug!("connection: {error}");
    }
    drop(room);
}
