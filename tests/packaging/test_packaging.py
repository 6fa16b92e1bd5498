"""The package as others get it: a wheel in an environment of its own, a plug-in of somebody else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import ROOT


def run(*command: object, **options: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_a_strangers_plugin_is_found_and_run(tmp_path: Path) -> None:
    """Installed beside the package, named by its entry points, used in a configuration, held to the contract."""
    place = tmp_path / "installed"
    run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        place,
        ROOT / "examples" / "plugin",
    )
    env = {
        **os.environ,
        "PYTHONPATH": f"{place}{os.pathsep}{ROOT}",
        "AND_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "1",
    }
    stages = [word for stage in ("clips", "activations", "captions") for word in ("--only", stage)]
    config = ROOT / "examples" / "plugin" / "config.yaml"
    run(sys.executable, "-m", "and_core.cli", "run", config, *stages, env=env, cwd=tmp_path)
    stored = json.loads((tmp_path / "cache" / "plugin" / "manifest.json").read_text())["stages"]
    assert (
        stored["activations"]["parameters"]["target"]["kind"] == "bands"
        and "weights" not in stored["activations"]["parameters"]["target"]
    )
    assert [part["kind"] for part in stored["captions"]["parameters"]["captioner"]["parts"]] == [
        "acoustic",
        "loudness_steps",
    ]
    tests = ROOT / "examples" / "plugin" / "tests"
    run(
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir",
        tests,
        tests,
        env=env,
        cwd=tmp_path,
    )


def test_a_plugin_that_fails_to_import_takes_nothing_else_down(tmp_path: Path) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[and_core.captioners]\nbroken = not_there:Broken\nother = and_core.records:Clip\n"
    )
    code = (
        "from and_core.captioners.base import CAPTIONERS; from and_core.registry import PluginConfig\n"
        "assert {'broken', 'acoustic'} <= set(CAPTIONERS.names()); CAPTIONERS.create(PluginConfig(kind='acoustic'))\n"
        "for kind in ('broken', 'other'):\n"
        "    try: CAPTIONERS.create(PluginConfig(kind=kind))\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
    )
    said = run(
        sys.executable, "-c", code, env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    ).splitlines()
    assert said[0].startswith(
        "ConfigError captions.kind='broken', offered by broken as not_there:Broken, can't be imported"
    )
    assert said[1].startswith("ConfigError captions.kind='other'") and "is no class of a plug-in" in said[1]


@pytest.mark.slow
def test_a_wheel_works_in_an_environment_of_its_own(tmp_path: Path) -> None:
    """Built, installed outside the checkout; the demo made, every page of the dashboard opened without an error."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "env")
    programs = tmp_path / "env" / "bin"
    run(programs / "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AND_", "PYTHON"))}
    env |= {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), "HF_HUB_OFFLINE": "1"}
    said = run(programs / "and-dissect", "demo", "--no-open", env=env, cwd=tmp_path)
    kept = tmp_path / "data" / "and-dissect" / "cache"
    assert str(kept) in "".join(said.split("\n")) and (kept / "demo-ast" / "manifest.json").is_file(), (
        "it says where dissections go"
    )
    assert "demo-ast" in run(programs / "and-dissect", "list", "--sizes", env=env, cwd=tmp_path)
    port = 8765
    server = subprocess.Popen(
        [str(programs / "and-dissect"), "app", "--port", str(port), "--no-browser"], env=env, cwd=tmp_path
    )
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2)
                break
            except OSError:
                time.sleep(0.2)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page()
            for path in ["", *sorted(p.stem for p in (ROOT / "pages").glob("*.py"))]:
                page.goto(f"http://127.0.0.1:{port}/{path}")
                page.wait_for_selector("h1.and", timeout=120_000)
                page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=120_000)
                assert page.locator('[data-testid="stException"]').count() == 0, path
            browser.close()
    finally:
        server.terminate()
        server.wait(20)
