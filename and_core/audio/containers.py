"""What a sound file's own header says of its length, read from the chunk that holds the samples.

Decoding tells the rest.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

UNKNOWN = 0x7FFF0000  # bytes from which on a size was written by a program that could not go back to fill it in
SLACK = 44  # bytes that a writer may count too many: those of a header
MP3_TAG = 0x55
PLAIN_AIFC = (b"NONE", b"twos", b"sowt", b"fl32", b"FL32", b"fl64", b"in24", b"in32")


@dataclass(frozen=True)
class Samples:
    """Where a file's samples lie.

    Attributes
    ----------
    start : int
        Offset of the first byte.
    declared : int or None
        Bytes by the header; None where it does not know.
    present : int
        Bytes that are there behind `start`.
    frame : int
        Bytes of one sample of all channels (of one block, in compressed formats).
    codec : int
        Format tag of a WAV, 0 elsewhere.
    """

    start: int
    declared: int | None
    present: int
    frame: int = 1
    codec: int = 0

    @property
    def missing(self) -> int:
        """Whole frames that the header declares and the file lacks, a header's length of bytes forgiven."""
        short = 0 if self.declared is None else self.declared - self.present
        return short // self.frame if short > SLACK else 0


def samples_of(path: Path) -> Samples | None:
    """Return where the samples lie in a WAV, RF64, W64, AIFF, AU, CAF or SPHERE file.

    None for other formats and where no such chunk is found.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(16)
        try:
            if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
                return _wav(file, size, ">" if head[:4] == b"RIFX" else "<")
            if head[:4] == b"riff":
                return _w64(file, size)
            if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
                return _aiff(file, size)
            if head[:4] in (b".snd", b"dns."):
                start, declared = struct.unpack(">2I" if head[:4] == b".snd" else "<2I", head[4:12])
                return Samples(start, None if declared >= UNKNOWN else declared, max(0, size - start))
            if head[:4] == b"caff":
                return _caf(file, size)
            if head[:7] == b"NIST_1A":
                return _sphere(file, size)
        except struct.error:  # the file ends within a header
            return None
    return None


def _chunks(
    file: BinaryIO, start: int, size: int, form: str, align: int = 2, own: int = 0
) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, offset of the body, length) of chunk after chunk.

    `own`: bytes of its own head that a chunk counts.
    """
    head = struct.calcsize(form)
    while start + head <= size:
        file.seek(start)
        name, length = struct.unpack(form, file.read(head))
        yield name, start + head, length - own
        if length < own:
            return
        start += (head if not own else 0) + length + (-length) % align


def _wav(file: BinaryIO, size: int, order: str) -> Samples | None:
    frame, codec, wide = 1, 0, None
    for name, at, length in _chunks(file, 12, size, f"{order}4sI"):
        file.seek(at)
        if name == b"ds64":
            _, wide = struct.unpack("<2Q", file.read(16))
        elif name == b"fmt ":
            body = file.read(min(length, 40))
            codec, frame = struct.unpack(f"{order}H", body[:2])[0], max(1, struct.unpack(f"{order}H", body[12:14])[0])
            if codec == 0xFFFE and len(body) >= 26:
                codec = struct.unpack(f"{order}H", body[24:26])[0]
        elif name == b"data":
            declared = wide if wide is not None and length == 0xFFFFFFFF else length
            unknown = declared >= (UNKNOWN if declared == length else 2**62) or (
                declared == 0 and not _only_chunks(file, at, size, f"{order}4sI")
            )
            return Samples(at, None if unknown else declared, size - at, frame, codec)
    return None


def _only_chunks(file: BinaryIO, start: int, size: int, form: str) -> bool:
    """Return whether nothing but whole chunks follows, so that a length of zero is meant."""
    end = start
    for name, at, length in _chunks(file, start, size, form):
        if not name.strip().isalnum():
            return False
        end = at + length + length % 2
    return end >= size - 1


def _w64(file: BinaryIO, size: int) -> Samples | None:
    frame = 1
    for name, at, length in _chunks(file, 40, size, "<16sq", 8, 24):
        if name[:4] == b"fmt ":
            file.seek(at + 12)
            frame = max(1, struct.unpack("<H", file.read(2))[0])
        elif name[:4] == b"data":
            return Samples(at, None if length <= 0 or length >= 2**62 else length, size - at, frame)
    return None


def _aiff(file: BinaryIO, size: int) -> Samples | None:
    frames, frame = None, 1
    for name, at, length in _chunks(file, 12, size, ">4sI"):
        file.seek(at)
        if name == b"COMM":
            body = file.read(min(length, 22))
            channels, frames, bits = struct.unpack(">hIh", body[:8])
            frame = max(1, channels * (-(-bits // 8)))
            if len(body) >= 22 and body[18:22] not in PLAIN_AIFC:
                frames, frame = None, 1
        elif name == b"SSND":
            offset = struct.unpack(">I", file.read(4))[0]
            start = at + 8 + offset
            declared = max(length - 8 - offset, 0 if frames is None or frames * frame >= UNKNOWN else frames * frame)
            unknown = declared == 0 or declared >= UNKNOWN
            return Samples(start, None if unknown else declared, size - start, frame)
    return None


def _caf(file: BinaryIO, size: int) -> Samples | None:
    frame = 1
    for name, at, length in _chunks(file, 8, size, ">4sq", 1):
        if name == b"desc":
            file.seek(at + 16)
            frame = max(1, struct.unpack(">I", file.read(4))[0])
        elif name == b"data":
            return Samples(at + 4, None if length <= 4 else length - 4, size - at - 4, frame)
        if length < 0:
            return None
    return None


def _sphere(file: BinaryIO, size: int) -> Samples | None:
    file.seek(0)
    lines = file.read(1024).decode("ascii", "replace").splitlines()
    fields = {parts[0]: parts[2] for line in lines if len(parts := line.split()) == 3}
    try:
        start, coding = int(lines[1]), fields.get("sample_coding", "pcm")
        frame = int(fields.get("channel_count", 1)) * int(fields["sample_n_bytes"])
        plain = coding in ("pcm", "ulaw", "alaw", "mu-law")
        return Samples(start, int(fields["sample_count"]) * frame, size - start, frame) if plain else None
    except (KeyError, ValueError, IndexError):
        return None


def mended(path: Path, samples: Samples) -> io.BytesIO | None:
    """Return a WAV or AIFF whose header knows no length with the length that the file has; None for other formats."""
    data = bytearray(path.read_bytes())
    present = samples.present - samples.present % samples.frame
    del data[samples.start + present :]
    if data[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        order = ">" if data[:4] == b"RIFX" else "<"
        data[:4] = b"RIFX" if order == ">" else b"RIFF"
        data[4:8], data[samples.start - 4 : samples.start] = (
            struct.pack(f"{order}I", len(data) - 8),
            struct.pack(f"{order}I", present),
        )
    elif data[:4] == b"FORM":
        where = data.find(b"COMM")
        body = data.rfind(b"SSND", 0, samples.start)
        if where < 0 or body < 0:
            return None
        data[where + 10 : where + 14] = struct.pack(">I", present // samples.frame)
        data[4:8], data[body + 4 : body + 8] = struct.pack(">I", len(data) - 8), struct.pack(">I", len(data) - body - 8)
    else:
        return None
    return io.BytesIO(bytes(data))


def ogg_links(data: bytes) -> tuple[list[tuple[int, int]], bool]:
    """Return the (start, end) of each stream that is chained in an Ogg file, and whether the last of them lacks its
    end."""
    starts: list[int] = []
    at, opening, ended, whole = 0, False, False, True
    while (at := data.find(b"OggS", at)) >= 0:
        if at + 27 > len(data) or at + 27 + data[at + 26] > len(data):
            whole = False
            break
        flags, segments = data[at + 5], data[at + 26]
        length = 27 + segments + sum(data[at + 27 : at + 27 + segments])
        if flags & 2 and not opening:
            starts.append(at)
        opening, ended, whole = bool(flags & 2), bool(flags & 4), at + length <= len(data)
        at += length
    return list(zip(starts, [*starts[1:], len(data)], strict=True)), not (ended and whole)
