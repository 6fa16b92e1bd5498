"""Sound that only ffmpeg reads: AAC, WMA, WebM and what a phone records.

It opens one local file and no playlist, and is told what to write before it does.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from and_core.errors import DataError

# Containers that hold their own sound; none that names other files.
DEMUXERS = (
    "mov,mp4,m4a,3gp,matroska,webm,asf,aac,ac3,eac3,mp3,ogg,wav,w64,flac,"
    "aiff,au,amr,caf,ape,wv,mpc,mpc8,tta,dts,avi,flv,gsm,mpeg,mpegts,dsf"
)
GUARDS = ("-protocol_whitelist", "file", "-format_whitelist", DEMUXERS)
SECONDS = 30  # that ffmpeg may take
MOST_CHANNELS = 64
SHORT = (0.25, 0.02)  # seconds and share by which a stream may end before its container says
ESTIMATED = ("aac", "mp3", "ac3", "eac3", "amr", "gsm", "dts")  # streams without a container: their length is a guess


def is_there() -> bool:
    """Return whether ffmpeg is installed."""
    return shutil.which("ffmpeg") is not None and shutil.which("ffprobe") is not None


def read_with_ffmpeg(path: Path, max_seconds: float, rates: tuple[int, int], most_bytes: int) -> tuple[np.ndarray, int]:
    """Decode the first stream of sound in a file.

    Parameters
    ----------
    path : Path
    max_seconds : float
        Longer sound is refused.
    rates : (int, int)
        Lowest and highest sample rate that is taken.
    most_bytes : int
        Decoded, at most.

    Returns
    -------
    samples : (samples, channels) float32
    rate : int

    Raises
    ------
    DataError
        No sound, too long, too large, truncated, or not readable by ffmpeg either.
    """
    about = _probe(path)
    streams = about.get("streams") or []
    if not streams:
        raise DataError("not readable as audio: it holds no sound")
    rate, channels = int(streams[0].get("sample_rate") or 0), int(streams[0].get("channels") or 0)
    if not rates[0] <= rate <= rates[1] or not 1 <= channels <= MOST_CHANNELS:
        allowed = f"{rates[0]} to {rates[1]} Hz and 1 to {MOST_CHANNELS} channels are taken"
        raise DataError(f"sample rate {rate} Hz with {channels} channels is out of range; {allowed}")
    promised = _seconds(streams[0].get("duration")) or _seconds(about.get("format", {}).get("duration"))
    if promised is not None and promised > max_seconds + SHORT[0]:
        raise DataError(f"too long: {promised:.0f} s, at most max_seconds={max_seconds:g} s are taken")
    most = int((max_seconds + 1) * rate) * channels * 4
    if most > most_bytes and (promised is None or promised * rate * channels * 4 > most_bytes):
        raise DataError(f"too large: {channels} channels at {rate} Hz; at most {most_bytes // 2**20} MiB are decoded")
    form = (
        "-f",
        "f32le",
        "-c:a",
        "pcm_f32le",
        "-ar",
        str(rate),
        "-ac",
        str(channels),
        "-fs",
        str(min(most, most_bytes)),
    )
    done = _run(
        [
            "ffmpeg",
            "-nostdin",
            "-v",
            "error",
            "-xerror",
            *GUARDS,
            "-i",
            str(path.absolute()),
            "-map",
            "0:a:0",
            "-t",
            str(max_seconds + 1),
            *form,
            "-",
        ]
    )
    samples = np.frombuffer(done.stdout[: len(done.stdout) // (4 * channels) * 4 * channels], "<f4").reshape(
        -1, channels
    )
    if done.returncode:
        raise DataError(f"corrupt or truncated: {_last_line(done.stderr)}")
    seconds = len(samples) / rate
    if seconds > max_seconds + SHORT[0]:
        raise DataError(f"too long: more than {seconds:.0f} s, at most max_seconds={max_seconds:g} s are taken")
    guess = about.get("format", {}).get("format_name") in ESTIMATED
    if promised is not None and not guess and seconds < promised - max(SHORT[0], SHORT[1] * promised):
        raise DataError(f"truncated: {round(seconds * rate)} of {round(promised * rate)} samples")
    return samples, rate


def _probe(path: Path) -> dict[str, Any]:
    entries = "stream=sample_rate,channels,duration:format=format_name,duration"
    done = _run(
        [
            "ffprobe",
            "-v",
            "error",
            *GUARDS,
            "-select_streams",
            "a:0",
            "-show_entries",
            entries,
            "-of",
            "json",
            "-i",
            str(path.absolute()),
        ]
    )
    if done.returncode:
        raise DataError(f"not readable as audio: {_last_line(done.stderr)}")
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise DataError("not readable as audio: ffprobe can't tell what it is") from None


def _run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise DataError(f"not readable as audio: ffmpeg was not done after {SECONDS} s") from None
    except OSError as error:
        raise DataError(f"not readable as audio: ffmpeg can't be started: {error}") from None


def _seconds(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if 0 < value < 1e9 else None


def _last_line(stderr: bytes) -> str:
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1].split("] ", 1)[-1].rpartition(": ")[2][:120] if lines else "ffmpeg gives no reason"
