"""From an audio file to a mono waveform, with every way a file can be bad named."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from threading import Thread

import numpy as np
import soundfile as sf
import soxr

from and_core.audio import ffmpeg
from and_core.audio.containers import MP3_TAG, Samples, mended, ogg_links, samples_of
from and_core.errors import DataError
from and_core.store.files import LFS_POINTER, is_lfs_pointer

READ_HERE = (
    ".wav",
    ".flac",
    ".ogg",
    ".oga",
    ".opus",
    ".mp3",
    ".mp2",
    ".aif",
    ".aiff",
    ".aifc",
    ".au",
    ".snd",
    ".w64",
    ".rf64",
    ".caf",
    ".voc",
    ".sph",
)
READ_BY_FFMPEG = (
    ".m4a",
    ".m4b",
    ".mp4",
    ".mov",
    ".aac",
    ".wma",
    ".asf",
    ".webm",
    ".weba",
    ".mka",
    ".mkv",
    ".amr",
    ".3gp",
    ".3g2",
    ".ac3",
    ".eac3",
    ".ape",
    ".wv",
    ".mpc",
    ".tta",
    ".dts",
    ".avi",
    ".flv",
    ".spx",
    ".gsm",
    ".dsf",
)
SUFFIXES = READ_HERE + READ_BY_FFMPEG
MAX_DECODED_BYTES = 512 * 2**20
MIN_RATE, MAX_RATE = 1_000, 768_000
SILENCE = 10 ** (-90 / 20)
CANCELLED = 0.01  # of the loudest channel: what is left of channels that cancel each other
BLOCK = 65_536  # frames decoded at a time
PADDING = 2 * 1152  # samples by which MPEG audio may end before its header says: two of its frames


def read_audio(path: str | Path, max_seconds: float = 60.0) -> tuple[np.ndarray, int]:
    """Decode a file and mix its channels to mono.

    How long a file is, is found by decoding it: headers of MP3 files guess, and what was written through a pipe knows
    no length.

    Parameters
    ----------
    path : path
        Any format soundfile reads, or ffmpeg where it is installed; any rate, width and number of channels.
    max_seconds : float
        Longer files are refused; decoding stops there.

    Returns
    -------
    wave : (samples,) float32
        In [-1, 1] for integer formats; files of floats and lossy ones may go beyond, see :func:`full_scale`.
    rate : int
        Samples per second.

    Raises
    ------
    DataError
        Missing, no regular file, not audio, corrupt, truncated, empty, too long, silent, with channels that cancel each
        other, or with NaN or infinite samples.
    """
    path = Path(path)
    check_file(path)
    try:
        samples, rate = _decode_file(path, max_seconds)
    except _Foreign as error:
        if not ffmpeg.is_there():
            needs = "; ffmpeg may read it (Debian: apt install ffmpeg)" if path.suffix.lower() in READ_BY_FFMPEG else ""
            raise DataError(f"{error}{needs}") from None
        try:
            samples, rate = ffmpeg.read_with_ffmpeg(path, max_seconds, (MIN_RATE, MAX_RATE), MAX_DECODED_BYTES)
        except DataError as other:
            raise (
                other
                if path.suffix.lower() in READ_BY_FFMPEG or not str(other).startswith("not readable")
                else DataError(str(error))
            ) from None
    return mono(samples), rate


class _Foreign(DataError):
    """A file that soundfile does not read."""


class _Guessed(Exception):
    """A file whose length its header guesses (MPEG audio) or does not know (FLAC written through a pipe)."""


def mono(samples: np.ndarray) -> np.ndarray:
    """Mix (samples, channels) to (samples,) float32.

    Raises
    ------
    DataError
        No samples, a NaN or infinite one, silence, or channels that cancel each other.
    """
    wave = samples.mean(axis=1) if samples.size else np.zeros(0, np.float32)
    if samples.shape[1] > 1 and np.isfinite(samples).all() and samples.size:
        loudest = float(np.sqrt(np.square(samples, dtype=np.float64).mean(axis=0)).max())
        if (
            np.abs(samples).max() >= SILENCE
            and np.sqrt(np.square(wave, dtype=np.float64).mean()) < CANCELLED * loudest / samples.shape[1]
        ):
            raise DataError("its channels cancel each other: mixed to mono, next to nothing is left of them")
    return check_wave(wave)


def check_wave(wave: np.ndarray) -> np.ndarray:
    """Return the waveform itself, if it holds sound.

    Raises
    ------
    DataError
        No samples, a NaN or infinite one, or silence.
    """
    if wave.size == 0:
        raise DataError("empty: 0 samples")
    if not np.isfinite(wave).all():
        raise DataError(f"not finite: {int((~np.isfinite(wave)).sum())} samples are NaN or infinite")
    if np.abs(wave).max() < SILENCE:
        raise DataError("silent: the peak is below -90 dBFS")
    return np.ascontiguousarray(wave, np.float32)


def full_scale(wave: np.ndarray) -> tuple[np.ndarray, float]:
    """Scale what goes beyond full scale as a whole, so that nothing is clipped; the waveform and its peak before.

    Examples
    --------
    >>> wave, peak = full_scale(np.array([0.5, -2.0], np.float32))
    >>> wave.tolist(), peak
    ([0.25, -1.0], 2.0)
    """
    peak = float(np.abs(wave).max()) if wave.size else 0.0
    return (wave, peak) if peak <= 1 else (np.asarray(wave / np.float64(peak), np.float32), peak)


def resample(wave: np.ndarray, rate: int, to: int) -> np.ndarray:
    """Resample with soxr (HQ); unchanged where the rates agree."""
    return wave if rate == to else np.asarray(soxr.resample(wave, rate, to, quality="HQ"), np.float32)


def check_file(path: Path) -> None:
    """Raise where a path is no regular file with something in it: a pipe or a device may never end.

    Raises
    ------
    DataError
        Missing, no regular file, empty, or a pointer in place of a sound.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(
            "missing: no such file" if isinstance(error, FileNotFoundError) else f"missing: {error.strerror}"
        ) from None
    except ValueError as error:
        raise DataError(f"missing: {error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise DataError("no regular file")
    if status.st_size == 0:
        raise DataError("empty: 0 bytes")
    if status.st_size < 1024:
        with open(path, "rb") as file:
            if is_lfs_pointer(file.read(64)):
                raise DataError(LFS_POINTER)


def _decode_file(path: Path, max_seconds: float) -> tuple[np.ndarray, int]:
    """Return (samples, channels) and the rate, by the way that suits the format."""
    try:
        samples = samples_of(path)
        if samples is not None and samples.missing:
            there = samples.present // samples.frame
            raise DataError(f"truncated: {there} of {there + samples.missing} samples")
        if samples is not None and samples.codec == MP3_TAG:
            return _decode_stream(
                path, samples.start, samples.present if samples.declared is None else samples.declared, max_seconds
            )
        with open(path, "rb") as file:
            head = file.read(10)
        if head[:4] == b"OggS":
            return _decode_ogg(path, max_seconds)
        if head[:3] == b"ID3" or (
            len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 in (0xE2, 0xE4, 0xE6)
        ):  # a layer of MPEG audio; not AAC
            return _decode_stream(path, 0, path.stat().st_size, max_seconds)
        return _decode(_source(path, samples), max_seconds)
    except _Guessed:
        return _decode_stream(path, 0, path.stat().st_size, max_seconds)
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror or error}") from None


def _source(path: Path, samples: Samples | None) -> object:
    """Return what soundfile opens: the file, or a copy whose header knows the length where its own does not."""
    if samples is None or samples.declared is not None:
        return os.fsencode(path)
    if samples.present > MAX_DECODED_BYTES:
        raise DataError(f"too large: {samples.present / 2**20:.0f} MiB, at most {MAX_DECODED_BYTES // 2**20} MiB")
    return mended(path, samples) or os.fsencode(path)


def _decode(source: object, max_seconds: float, forgiven: int = 0, close: bool = True) -> tuple[np.ndarray, int]:
    """Decode until the sound ends, at most `max_seconds`.

    A sound that ends before its header says is truncated, `forgiven` samples apart.
    """
    try:
        file = sf.SoundFile(source, closefd=close)
    except (sf.LibsndfileError, RuntimeError, OSError, TypeError) as error:
        raise _Foreign(f"not readable as audio: {str(error).split(': ')[-1].strip()}") from None
    with file:
        rate, channels, promised = file.samplerate, file.channels, file.frames
        if close and (file.format == "MP3" or promised >= 2**62):
            raise _Guessed
        if not MIN_RATE <= rate <= MAX_RATE:
            raise DataError(f"sample rate {rate} Hz is out of range; {MIN_RATE} to {MAX_RATE} Hz are taken")
        known = 0 <= promised < 2**62
        whole = promised if known else 2**62
        if known and promised / rate > max_seconds:
            raise DataError(f"too long: {promised / rate:.0f} s, at most max_seconds={max_seconds:g} s are taken")
        most = int(max_seconds * rate) + 1
        if min(most, promised if known else most) * channels * 4 > MAX_DECODED_BYTES:
            size = min(most, promised if known else most) * channels * 4 / 2**20
            raise DataError(f"too large: {size:.0f} MiB decoded, at most {MAX_DECODED_BYTES // 2**20} MiB")
        parts, count = [], 0
        while count < min(most, whole):
            block = np.empty((BLOCK, channels), np.float32)
            try:
                read = file.buffer_read_into(block, "float32")
            except (sf.LibsndfileError, RuntimeError, OSError) as error:
                if known and forgiven and count >= promised - forgiven:
                    break  # newer libsndfile seeks after an MP3's last frame, which a stream does not allow
                there = f"{count} of {promised}" if known else f"{count}"
                raise DataError(
                    f"corrupt or truncated: {there} samples can be decoded ({str(error).split(': ')[-1].strip()})"
                ) from None
            if not read:
                break
            parts.append(block[:read])
            count += read
    if count >= most:
        raise DataError(f"too long: more than {max_seconds:g} s, at most max_seconds={max_seconds:g} s are taken")
    if known and count < promised - forgiven:
        raise DataError(f"truncated: {count} of {promised} samples")
    return np.concatenate(parts) if parts else np.zeros((0, channels), np.float32), rate


def _decode_stream(path: Path, start: int, length: int, max_seconds: float) -> tuple[np.ndarray, int]:
    """Decode as a stream, tags before it left out: only then does libsndfile go on to the end where the header guesses
    the length or knows none."""
    with open(path, "rb") as file:
        file.seek(start)
        head = file.read(10)
        while head[:3] == b"ID3" and len(head) == 10:  # tags, with pictures of any size
            size = (
                10
                + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
                + (10 if head[5] & 0x10 else 0)
            )
            start, length = start + size, length - size
            file.seek(start)
            head = file.read(10)
    reader, writer = os.pipe()

    def feed() -> None:
        left = length
        with open(path, "rb") as file, open(writer, "wb", buffering=0) as pipe:
            file.seek(start)
            try:
                while left > 0 and (data := file.read(min(left, 1 << 16))):
                    pipe.write(data)
                    left -= len(data)
            except BrokenPipeError:  # decoding has ended before the file
                pass

    thread = Thread(target=feed, daemon=True)
    thread.start()
    try:
        return _decode(reader, max_seconds, PADDING, close=False)
    finally:
        os.close(reader)
        thread.join()


def _decode_ogg(path: Path, max_seconds: float) -> tuple[np.ndarray, int]:
    """Decode every stream that is chained in the file, one after the other, at the first one's rate."""
    if path.stat().st_size > MAX_DECODED_BYTES:
        raise DataError(f"too large: {path.stat().st_size / 2**20:.0f} MiB, at most {MAX_DECODED_BYTES // 2**20} MiB")
    data = path.read_bytes()
    links, cut = ogg_links(data)
    if cut:
        raise DataError("truncated: the stream lacks its last page")
    if len(links) == 1:
        return _decode(os.fsencode(path), max_seconds)
    parts, rate = [], 0
    for start, end in links:
        samples, own = _decode(io.BytesIO(data[start:end]), max_seconds)
        rate = rate or own
        parts.append(resample(samples.mean(axis=1), own, rate)[:, None])
    joined = np.concatenate(parts)
    if len(joined) > max_seconds * rate:
        raise DataError(f"too long: {len(joined) / rate:.0f} s, at most max_seconds={max_seconds:g} s are taken")
    return joined, rate
