"""A static web server on this machine, isolated as WebAssembly's threads want it, and a browser that looks at it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

TYPES = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
ARGUMENTS = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--enable-unsafe-webgpu"]


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, roots: dict[str, Path], *arguments):
        self.roots = roots
        super().__init__(*arguments)

    def do_GET(self) -> None:
        found = [(prefix, root) for prefix, root in self.roots.items() if self.path.startswith(prefix)]
        prefix, root = max(found, key=lambda pair: len(pair[0]))
        path = root / self.path.split("?")[0].removeprefix(prefix)
        if ".." in path.parts or not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", TYPES.get(path.suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_) -> None:
        """Says nothing."""


@contextmanager
def open_page(roots: dict[str, Path], path: str) -> Iterator[Page]:
    """A page of Chromium on these folders, by prefix. MONOLENS_CHROMIUM names the browser, MONOLENS_WEBGPU_ADAPTER its adapter;
    without it the software one is taken where there is no GPU."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, roots))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    adapter = os.environ.get("MONOLENS_WEBGPU_ADAPTER", "swiftshader")
    with sync_playwright() as playwright, TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=os.environ.get("MONOLENS_CHROMIUM", "/usr/bin/chromium"),
            chromium_sandbox=False,
            headless=True,
            args=[*ARGUMENTS, *([f"--use-webgpu-adapter={adapter}"] if adapter else [])],
        )
        page = context.new_page()
        page.on("pageerror", lambda error: print(f"page: {error}"))
        page.on("console", lambda message: print(f"page: {message.text}") if message.type == "error" else None)
        page.set_default_timeout(600_000)
        page.goto(f"http://localhost:{server.server_port}{path}")
        page.wait_for_function("window.ready")
        yield page
        context.close()
    server.shutdown()
