//! A static server for this machine alone, with types and byte ranges as any web host has them.

use anyhow::{Context, Result};
use axum::Router;
use std::net::Ipv4Addr;
use std::path::Path;
use tokio::net::TcpListener;
use tower_http::services::ServeDir;

/// Serves a folder until the program is ended. The first line printed is the address.
///
/// # Errors
/// When the port is taken.
#[tokio::main(flavor = "current_thread")]
pub async fn run(folder: &Path, port: u16) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener =
        listener.await.with_context(|| format!("port {port} cannot be had: choose another with --port"))?;
    println!("http://{}/", listener.local_addr()?);
    let app = Router::new().fallback_service(ServeDir::new(folder));
    Ok(axum::serve(listener, app).await?)
}
