"""Omniglot: 1623 characters in twenty hands each, or generated ones where it cannot be had."""

import functools
import hashlib
import io
import os
import re
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import fields, replace
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import torch
from filelock import FileLock
from PIL import Image
from tqdm.auto import tqdm

from .. import paths
from ..store import say
from .episodes import Characters, Episode, Points

SITE = "https://github.com/brendenlake/omniglot/raw/master/python/"
PATIENCE = 3.0  # seconds of silence after which a server counts as dead
LOCK_SECONDS = 600.0  # then we go on without: files appear by renaming, whole or not at all
SIDE, DRAWINGS = 105, 20  # of a picture, of a character
HEADER = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBB", SIDE, SIDE, 1, 0, 0, 0, 0)
FORMAT = 1  # of the packed cache
GLYPHS = "generated alphabets, seed 0"  # the stamp of the shipped ones (tools/assets.py)
LEAVES_FOLDER = re.compile(r"^[/\\]|^\w:|(^|[/\\])\.\.([/\\]|$)")
BROKEN = (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, struct.error,
          zipfile.BadZipFile, zlib.error)  # fmt: skip


class OmniglotError(RuntimeError):
    """A file is there but cannot be used; the sentence says which, and what would help."""


class Unavailable(Exception):
    """There is no Omniglot here, and why."""


class Archive(NamedTuple):
    """An official archive and how to know it: by the file, or by names and CRCs of its pictures."""

    folder: str
    characters: int
    md5: str
    sha256_of_contents: str

    @property
    def file(self) -> str:
        """The archive's file name."""
        return f"{self.folder}.zip"


ARCHIVES = (
    Archive("images_background", 964, "68d2efa1b9178cc56df9314c21c6e718",
            "c529e32627de7cfa3fd2ae993b800fa590be526594bbb9bef2a58f8a1b7d1524"),
    Archive("images_evaluation", 659, "6b91aef0f799c5bb55b94e3f2daec811",
            "421f0125de89cad566ce1e7ed0f97f6e8c68dc2a5c05e3aacce9f36133e29697"),
)  # fmt: skip


class CharacterData(NamedTuple):
    """Characters to meta-learn from (background), characters to be judged on, and what they are."""

    background: Characters
    evaluation: Characters
    source: str

    @property
    def real(self) -> bool:
        """Whether people drew them."""
        return self.source == "Omniglot"

    def papers_split(self, seed: int = 0) -> tuple[Characters, Characters]:
        """All characters mixed irrespective of alphabet, 1200 to train and 423 to test, and turned.

        Returns 4800 and 1692 classes; the turns of one character are on the same side.
        Source: Santoro et al. (2016); Vinyals et al. (2016); Finn et al. (2017), section 5.2.
        """
        everyone = together(self.background, self.evaluation)
        order = torch.randperm(len(everyone), generator=torch.Generator().manual_seed(seed))
        cut = round(len(everyone) * 1200 / 1623)
        return everyone.subset(order[:cut]).rotated(), everyone.subset(order[cut:]).rotated()


def together(first: Characters, second: Characters) -> Characters:
    """Both pools as one, the alphabets of the second counted on from those of the first."""
    second = replace(second, alphabet=second.alphabet + len(first.alphabets))
    pairs = {f.name: (getattr(first, f.name), getattr(second, f.name)) for f in fields(Characters)}
    names = sum(pairs.pop("alphabets"), ())
    return Characters(alphabets=names, **{name: torch.cat(pair) for name, pair in pairs.items()})


# ---------------------------------------------------------------- the one call

_loaded: dict[int, CharacterData] = {}


def load_characters(size: int = 28, download: bool = True) -> CharacterData:
    """Omniglot's background and evaluation characters, or generated alphabets in their place.

    Looks in the folder that MLCOURSE_OMNIGLOT names, then in `data/`, then at the authors' site
    unless `download` is False or MLCOURSE_OFFLINE is 1. Images are (classes, 20, size, size).
    Real ones are remembered for the process; where there are none, one line says why.
    Raises OmniglotError for a file or a named folder that is there but of no use, ValueError
    for a size that is not in 1…105.
    Source: Lake, Salakhutdinov, Tenenbaum, Science 350 (2015), 1332–1338.
    """
    if size not in range(1, SIDE + 1):
        raise ValueError(f"size is {size}, but a picture has 1 to {SIDE} pixels a side")
    try:
        if size not in _loaded:
            _loaded[size] = omniglot(size, download)
        return _loaded[size]
    except Unavailable as why:
        files = " and ".join(a.file for a in ARCHIVES)
        say(f"Omniglot is not here ({why}), so generated alphabets stand in. For the real "
            f"characters put {files} into {paths.data_folder()} and run this again.",
            topic="generated alphabets")  # fmt: skip
    return generated(size)


def omniglot(size: int, download: bool) -> CharacterData:
    """From the packed cache, else from the archives; raises Unavailable, OmniglotError."""
    folder = archive_folder()
    path = paths.data_folder() / f"omniglot_{size}.npz"
    stamp = " ".join([str(FORMAT), str(size), *(a.sha256_of_contents for a in ARCHIVES)])
    if known := read_cache(path, stamp):
        return known
    try:
        folder = folder or fetched_folder(download)
    except Unavailable as why:
        if not path.exists():
            raise
        raise OmniglotError(f"{path} is damaged or of an older version, and cannot be made anew "
                            f"without the archives ({why}): delete it, or put them beside it"
                            ) from None  # fmt: skip
    return cached(path, stamp, lambda: CharacterData(
        *(read_archive(folder / a.file, a, size) for a in ARCHIVES), "Omniglot"))  # fmt: skip


@functools.cache
def generated(size: int) -> CharacterData:
    """The stand-in that comes with the package: none of its drawings was made by people."""
    path = paths.asset("glyphs_28.npz")
    if not (shipped := read_cache(path, GLYPHS)):
        raise OmniglotError(f"{path} is missing or damaged: install the course anew")
    return shipped._replace(
        background=resized(shipped.background, size), evaluation=resized(shipped.evaluation, size)
    )


def resized(characters: Characters, size: int) -> Characters:
    """The same characters, their images made (classes, drawings, size, size) by means."""
    if characters.images.shape[-2:] == (size, size):
        return characters
    images = torch.nn.functional.interpolate(characters.images.float(), (size, size), mode="area")
    return replace(characters, images=images.round().byte())


# ---------------------------------------------------------------- where the archives are


def lacking(folder: Path) -> list[Archive]:
    """The archives that are not in the folder."""
    return [archive for archive in ARCHIVES if not (folder / archive.file).is_file()]


def archive_folder() -> Path | None:
    """Where both archives are: the named folder (else OmniglotError), `data/`, or None."""
    if not (named := os.environ.get("MLCOURSE_OMNIGLOT")):
        return None if lacking(paths.data_folder()) else paths.data_folder()
    folder = Path(named).expanduser()
    if missing := " and ".join(archive.file for archive in lacking(folder)):
        raise OmniglotError(f"MLCOURSE_OMNIGLOT names {folder}, but {missing} is not there: "
                            "put it there, or unset the variable")  # fmt: skip
    return folder


def fetched_folder(download: bool) -> Path:
    """`data/` after the download; raises Unavailable with the reason."""
    if not download:
        raise Unavailable("download=False")
    if os.environ.get("MLCOURSE_OFFLINE", "0") not in ("", "0"):
        raise Unavailable("MLCOURSE_OFFLINE is set")
    if failure := download_archives(paths.data_folder()):
        raise Unavailable(failure)
    return paths.data_folder()


@functools.cache
def download_archives(folder: Path) -> str:
    """Fetch what is lacking, tried once a process; returns why it failed, or an empty string."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        connect(SITE + ARCHIVES[0].file).close()  # hear of a dead network before waiting in a queue
        with one_at_a_time(folder):
            for archive in lacking(folder):
                fetch(archive, folder)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        return f"the download failed: {str(reason) or f'no answer within {PATIENCE:g} s'}"
    return ""


def fetch(archive: Archive, folder: Path) -> None:
    """Bring one archive into the folder, whole and verified; raises OSError."""
    part = folder / f"{archive.file}.part"
    try:
        transfer(SITE + archive.file, part)
    except HTTPError as error:
        if error.code != 416:  # nothing after what we have: the checksum says whether it is all
            raise
    with part.open("rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if md5 != archive.md5:
        part.unlink()
        raise OSError(f"{archive.file} came with a wrong checksum and was deleted")
    os.replace(part, folder / archive.file)


def transfer(url: str, part: Path) -> None:
    """Append what is missing to the part; OSError when the server falls silent or hangs up."""
    have = part.stat().st_size if part.exists() else 0
    with connect(url, have) as response:
        if response.status != 206:  # the server does not resume
            have = 0
        total = have + int(response.headers.get("Content-Length") or 0)
        shape = {"total": total or None, "initial": have, "unit": "B", "unit_scale": True}
        with part.open("ab" if have else "wb") as file, tqdm(desc=part.stem, **shape) as bar:
            while chunk := response.read1(1 << 16):
                bar.update(file.write(chunk))
    if (have := part.stat().st_size) < total:
        raise OSError(f"{part.stem} stopped after {have} of {total} bytes; a new start resumes it")


def connect(url: str, start: int = 0) -> HTTPResponse:
    """The open response, from byte `start` on if the server can; TimeoutError when it is silent."""
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    answer: Future = Future()

    def ask() -> None:
        try:
            answer.set_result(urlopen(request, timeout=PATIENCE))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()  # no socket timeout covers a hanging DNS
    return answer.result(PATIENCE)


# ---------------------------------------------------------------- from an archive to tensors


def read_archive(path: Path, archive: Archive, size: int) -> Characters:
    """Verify an archive and shrink its pictures in memory; raises OmniglotError."""
    try:
        with zipfile.ZipFile(path) as zipped:
            rows = checked_rows(zipped, archive)
            bar = tqdm(rows, desc=f"unpacking {archive.folder}", leave=False)
            images = np.stack([shrunk([zipped.read(name) for name in row], size) for row in bar])
    except BROKEN as error:
        mend = "put a good copy there, or unset MLCOURSE_OMNIGLOT"
        if path.parent == paths.data_folder():
            mend = "delete it to have it downloaded anew, or put a good copy there"
        raise OmniglotError(f"{path} cannot be used ({error}): {mend}") from error
    names, alphabet = np.unique([row[0].split("/")[1] for row in rows], return_inverse=True)
    return Characters(
        images=torch.from_numpy(images),
        alphabet=torch.from_numpy(alphabet).long(),
        drawer=torch.tensor([[int(name[-6:-4]) for name in row] for row in rows]).byte(),
        alphabets=tuple(names.tolist()),
        rotation=torch.zeros(len(rows), dtype=torch.int64),
    )


def checked_rows(zipped: zipfile.ZipFile, archive: Archive) -> list[list[str]]:
    """Names of the pictures, a row a character, sorted; raises ValueError unless as published."""
    if outside := next(filter(LEAVES_FOLDER.search, zipped.namelist()), None):
        raise ValueError(f"its member {outside!r} leads out of the folder")
    expected = re.compile(rf"{archive.folder}/[^/]+/[^/]+/\d+_\d\d\.png")
    crc = {m.filename: m.CRC for m in zipped.infolist() if expected.fullmatch(m.filename)}
    names = sorted(crc)
    rows = [names[i : i + DRAWINGS] for i in range(0, len(names), DRAWINGS)]
    whole = [len(row) == DRAWINGS and len({n.rpartition("/")[0] for n in row}) == 1 for row in rows]
    if len(rows) != archive.characters or not all(whole):
        raise ValueError(f"it holds {len(names)} pictures in {archive.folder}/alphabet/character/, "
                         f"not {archive.characters} characters × {DRAWINGS}")  # fmt: skip
    listing = "\n".join(f"{name} {crc[name]:08x}" for name in names)
    if hashlib.sha256(listing.encode()).hexdigest() != archive.sha256_of_contents:
        raise ValueError("its pictures are not the published ones")
    return rows


def shrunk(pngs: list[bytes], size: int) -> np.ndarray:
    """Pictures of one character as uint8 (drawings, size, size)."""
    rows = np.frombuffer(b"".join(map(scanlines, pngs)), np.uint8).reshape(len(pngs) * SIDE, -1)
    if rows[:, 0].any():  # the byte before each line names its filter, and the published have none
        raise ValueError("a picture is stored in an unknown way")
    return cell_means(255 - 255 * np.unpackbits(rows[:, 1:], axis=1, count=SIDE), size)


def cell_means(ink: np.ndarray, size: int) -> np.ndarray:
    """Pictures of 105 × 105, one below the other, as uint8 (drawings, size, size): the mean ink of
    each cell. ink: uint8 (105 drawings, 105), strokes 255."""
    count = len(ink) // SIDE
    small = Image.fromarray(ink).resize((size, size * count), Image.Resampling.BOX)
    return np.asarray(small).reshape(count, size, size)  # no cell crossed into a neighbour


def scanlines(png: bytes) -> bytes:
    """The lines of a PNG before the filter is undone: three times as fast as Pillow's reader.

    Raises ValueError for a picture that is not 105 × 105 of one bit, zlib.error for a damaged one.
    """
    if not png.startswith(HEADER):
        raise ValueError(f"a picture is not a PNG of {SIDE} × {SIDE} pixels and one bit")
    start = png.index(b"IDAT") + 4
    length = int.from_bytes(png[start - 8 : start - 4], "big")
    return zlib.decompress(png[start : start + length])


# ---------------------------------------------------------------- the published one-shot runs


def lake_runs(size: int = 28) -> Episode | None:
    """The 20 published one-shot tasks, or None unless `all_runs.zip` lies beside the archives.

    x: float32 (20, 20, 1, size, size) in [0, 1]; y: int64 (20, 20), a class for each training
    picture of its run. Raises OmniglotError when the file cannot be read.
    Source: Lake et al. (2015); `python/one-shot-classification` in their repository.
    """
    path = (archive_folder() or paths.data_folder()) / "all_runs.zip"
    if not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as zipped:
            runs = [lake_run(zipped, f"run{number:02}", size) for number in range(1, 21)]
    except BROKEN as error:
        mend = "delete it, or put the published file there"
        raise OmniglotError(f"{path} cannot be used ({error}): {mend}") from error
    return Episode(*(Points(*map(torch.stack, zip(*side))) for side in zip(*runs)))


def lake_run(zipped: zipfile.ZipFile, run: str, size: int) -> Episode:
    """One published task, without the leading dimension; its list pairs tests with trainings."""
    listing = zipped.read(f"{run}/class_labels.txt").decode().splitlines()
    tests, answers = zip(*(line.split() for line in listing))
    training = sorted(answers)

    def pictures(names: Iterable[str]) -> torch.Tensor:
        pages = [np.asarray(Image.open(io.BytesIO(zipped.read(n))).convert("L")) for n in names]
        if any(page.shape != (SIDE, SIDE) for page in pages):
            raise ValueError(f"a picture of {run} is not {SIDE} × {SIDE} pixels")
        ink = np.where(np.concatenate(pages) == 0, 255, 0).astype(np.uint8)
        return torch.from_numpy(cell_means(ink, size).copy()).unsqueeze(1).float().div(255)

    labels = torch.tensor([training.index(name) for name in answers])
    support = Points(pictures(training), torch.arange(len(training)))
    return Episode(support, Points(pictures(tests), labels))


# ---------------------------------------------------------------- the packed cache


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold the folder's lock among notebooks; without it where none can be had."""
    with ExitStack() as held:
        with suppress(OSError, NotImplementedError):
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(folder / ".mlcourse.lock", timeout=LOCK_SECONDS))
        yield


def cached(path: Path, stamp: str, build: Callable[[], CharacterData]) -> CharacterData:
    """What the cache holds, or else what `build` makes, which is then kept there."""
    if known := read_cache(path, stamp):
        return known
    with one_at_a_time(path.parent):
        if known := read_cache(path, stamp):  # another notebook was faster
            return known
        made = build()
        try:
            write_cache(path, made, stamp)
        except OSError as error:
            say(f"{path} cannot be written ({error.strerror or error}), so the characters stay "
                "in memory and are made again next time.", topic="packed cache")  # fmt: skip
    return made


def write_cache(path: Path, data: CharacterData, stamp: str) -> None:
    """Write beside and rename, so that nobody ever reads half a file; raises OSError."""
    arrays = {
        f"{side}.{f.name}": np.asarray(getattr(getattr(data, side), f.name))
        for side in ("background", "evaluation")
        for f in fields(Characters)
    }
    draft = path.with_name(f"{path.stem}-{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with draft.open("wb") as file:
            np.savez_compressed(file, stamp=stamp, source=data.source, **arrays)
        os.replace(draft, path)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def read_cache(path: Path, stamp: str) -> CharacterData | None:
    """The data of a cache with this stamp, or None: no file, a damaged one, an older one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["stamp"]) != stamp:
                return None
            sides = (unpacked(file, side) for side in ("background", "evaluation"))
            return CharacterData(*sides, str(file["source"]))
    except BROKEN:
        return None


def unpacked(file: np.lib.npyio.NpzFile, side: str) -> Characters:
    """One pool out of the cache."""
    arrays = {f.name: file[f"{side}.{f.name}"] for f in fields(Characters)}
    names = tuple(arrays.pop("alphabets").tolist())
    return Characters(alphabets=names, **{k: torch.from_numpy(v) for k, v in arrays.items()})
