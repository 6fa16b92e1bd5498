"""Take the pictures of docs/dashboard.md from the demo: `python docs/screenshots.py` after `make demo`.

Needs Chromium and Pillow, as the tests do.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parent / "pictures"
NEURON = "layer=layer3_intermediate&unit=128"  # footsteps
PAGES = {
    "start": "/?dissection=demo-ast",
    "neurons": f"/neurons?dissection=demo-ast&{NEURON}",
    "layers": "/layers?dissection=demo-ast",
    "concepts": "/concepts?dissection=demo-ast",
    "words": "/words?dissection=demo-ast",
    "tuning": "/tuning?dissection=demo-ast",
    "unlearning": "/unlearning?dissection=demo-ast",
    "listen": "/listen?dissection=demo-ast",
}
PATIENCE = 300_000  # ms
FINISHED = '[data-testid="stApp"][data-test-script-state="notRunning"]'


def settle(page: Page) -> None:
    """Wait until a page has finished, and for what it draws after that."""
    page.wait_for_selector("h1.and")
    page.wait_for_selector(FINISHED)
    time.sleep(3)
    page.wait_for_selector(FINISHED)


def shoot(page: Page, name: str, address: str) -> None:
    """Save a page as a picture of 128 colours: a quarter of the bytes."""
    page.goto(address)
    settle(page)
    if name == "unlearning":
        page.wait_for_selector(".and-figures")
        settle(page)
    file = FOLDER / f"{name}.png"
    page.screenshot(path=file)
    Image.open(file).convert("RGB").quantize(128).save(file, optimize=True)


def main(names: list[str]) -> None:
    """Start a dashboard of its own and take the pictures named, or all."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "and_core.cli", "app", "--port", str(port), "--no-browser"]
    server = subprocess.Popen(command)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.set_default_timeout(PATIENCE)
            for name in names or list(PAGES):
                shoot(page, name, f"http://127.0.0.1:{port}{PAGES[name]}")
            browser.close()
    finally:
        server.terminate()


if __name__ == "__main__":
    main(sys.argv[1:])
