"""Omniglot arrives, is verified, packed and found; what goes wrong is one clear sentence."""

import errno
import hashlib
import io
import os
import struct
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mlcourse import paths, store
from mlcourse.tasks import Characters, omniglot
from mlcourse.tasks.omniglot import OmniglotError, load_characters

HERE = os.environ.get("MLCOURSE_OMNIGLOT") or paths.data_folder()
REAL = None if omniglot.lacking(Path(HERE).expanduser()) else Path(HERE).expanduser()
needs_real = pytest.mark.skipif(REAL is None, reason="no Omniglot: see data/README.md")


# ---------------------------------------------------------------- small archives of our own


def png(pixels: np.ndarray, depth: int = 1) -> bytes:
    """A grey PNG without filters, as the published ones are; pixels: 0 or 1 (height, width)."""
    lines = np.packbits(pixels, axis=1) if depth == 1 else pixels * np.uint8(255)
    head = struct.pack(">IIBBBBB", *pixels.shape[::-1], depth, 0, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines))

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def drawing(seed: int) -> np.ndarray:
    """Random paper (1) and ink (0)."""
    return np.random.default_rng(seed).integers(0, 2, (105, 105), dtype=np.uint8)


def members(folder: str, alphabets: dict[str, int], start: int) -> dict[str, bytes]:
    """Pictures of some characters under the names that the official archives use."""
    names = [f"{a}/character{c + 1:02d}" for a, count in alphabets.items() for c in range(count)]
    return {
        f"{folder}/{name}/{i:04d}_{drawer:02d}.png": png(drawing(100 * i + drawer))
        for i, name in enumerate(names, start)
        for drawer in range(1, 21)
    }


BACKGROUND = members("images_background", {"Greek": 2, "Korean": 1}, 1)
EVALUATION = members("images_evaluation", {"Angelic": 2}, 4)


def zipped(pictures: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in pictures.items():
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return buffer.getvalue()


def known(folder: str, pictures: dict[str, bytes]) -> omniglot.Archive:
    """What the course would know of an archive with these pictures."""
    lines = sorted(f"{name} {zlib.crc32(data):08x}" for name, data in pictures.items())
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return omniglot.Archive(
        folder, len(pictures) // 20, hashlib.md5(zipped(pictures)).hexdigest(), digest
    )


FILES = {"images_background.zip": zipped(BACKGROUND), "images_evaluation.zip": zipped(EVALUATION)}


def put(folder: Path, **changed: bytes | None) -> Path:
    """Both archives in a folder; `background=` or `evaluation=` other bytes, None for no file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in FILES.items():
        data = changed.get(name[7:-4], data)
        if data is not None:
            (folder / name).write_bytes(data)
    return folder


def fake_glyphs(seed: int = 0) -> tuple[Characters, Characters]:
    def pool(n: int) -> Characters:
        images = torch.full((n, 20, 28, 28), 100, dtype=torch.uint8)
        drawer = torch.arange(1, 21).byte().repeat(n, 1)
        zeros = torch.zeros(n, dtype=torch.int64)
        return Characters(images, zeros, drawer, ("made up",), zeros)

    return pool(7), pool(4)


def forget() -> None:
    """As if the process had just started."""
    omniglot._loaded.clear()
    store._said.clear()
    omniglot.generated.cache_clear()
    omniglot.download_archives.cache_clear()


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch) -> Path:
    """A fresh process, an empty data folder, no server, small archives in place of the big ones."""
    for name in ("MLCOURSE_OMNIGLOT", "MLCOURSE_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLCOURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(omniglot, "SITE", "http://127.0.0.1:9/")  # nobody listens
    small = (known("images_background", BACKGROUND), known("images_evaluation", EVALUATION))
    monkeypatch.setattr(omniglot, "ARCHIVES", small)
    (tmp_path / "assets").mkdir()
    monkeypatch.setattr(paths, "asset", lambda name: tmp_path / "assets" / name)
    fake = omniglot.CharacterData(*fake_glyphs(), "generated alphabets")
    omniglot.write_cache(paths.asset("glyphs_28.npz"), fake, omniglot.GLYPHS)
    forget()
    yield tmp_path / "data"
    forget()


class Site(BaseHTTPRequestHandler):
    """Serves FILES from a byte on; `server.trick` makes it misbehave."""

    def do_GET(self):
        name, trick = self.path.strip("/"), self.server.trick
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.server.asked.append((name, start))
        body = self.server.files[name]
        if trick == "silent":
            return self.server.over.wait(20)
        if trick == "deaf to ranges":
            start = 0
        if start >= len(body):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        half = len(body) // 2 if trick in ("stalls", "hangs up") else len(body)
        self.wfile.write(body[start:half])
        self.wfile.flush()
        if trick == "slow":
            time.sleep(0.3)
        if trick == "stalls":
            self.server.over.wait(20)

    def log_message(self, *args):
        pass


@pytest.fixture
def site(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.files, server.asked, server.trick, server.over = dict(FILES), [], "", threading.Event()
    monkeypatch.setattr(omniglot, "SITE", f"http://127.0.0.1:{server.server_port}/")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


def block_mean(pixels: np.ndarray, size: int) -> np.ndarray:
    """Slowly: the mean ink of the pixels whose middle lies in a cell (its far border included)."""
    where = [-(-(2 * p + 1) * size // 210) - 1 for p in range(105)]
    out = np.zeros((size, size))
    for i in range(size):
        rows = [p for p in range(105) if where[p] == i]
        for j in range(size):
            columns = [p for p in range(105) if where[p] == j]
            out[i, j] = np.mean([[255 * (1 - int(pixels[r, c])) for c in columns] for r in rows])
    return out


# ---------------------------------------------------------------- what comes out


def test_pictures_alphabets_and_drawers_arrive(data):
    put(data)
    found = load_characters()
    assert found.real and found.source == "Omniglot"
    assert found.background.images.shape == (3, 20, 28, 28)
    assert found.evaluation.images.shape == (2, 20, 28, 28)
    assert found.background.images.dtype == found.background.drawer.dtype == torch.uint8
    assert found.background.alphabets == ("Greek", "Korean")
    assert found.background.alphabet.tolist() == [0, 0, 1]
    assert found.background.alphabet.dtype == found.background.rotation.dtype == torch.int64
    assert found.evaluation.drawer.tolist() == [list(range(1, 21))] * 2
    assert found.background.rotation.tolist() == [0, 0, 0]


@pytest.mark.parametrize("size", [28, 20, 105, 1])
def test_a_cell_is_the_mean_of_its_ink(data, size):
    put(data)
    image = load_characters(size).background.images[1, 4].numpy().astype(float)
    expected = block_mean(drawing(100 * 2 + 5), size)
    assert np.abs(image - expected).max() <= 1  # Pillow rounds once a direction


def test_no_cell_mixes_two_drawings(data):
    half = {name: png(np.full((105, 105), i % 2)) for i, name in enumerate(BACKGROUND)}
    assert np.unique(omniglot.shrunk(list(half.values())[:20], 28)).tolist() == [0, 255]


@pytest.mark.parametrize("size", [0, -1, 106, 2.5])
def test_sizes_that_make_no_sense(size):
    with pytest.raises(ValueError, match=f"size is {size}, but a picture has 1 to 105 pixels"):
        load_characters(size)


def test_the_papers_split_keeps_turns_together(data):
    put(data)
    train, test = load_characters().papers_split()
    assert (len(train), len(test)) == (4 * 4, 4 * 1)  # of five characters, 1200 : 423
    assert train.alphabets == test.alphabets == ("Greek", "Korean", "Angelic")
    both = torch.cat([train.alphabet, test.alphabet]).bincount() // 4
    assert both.tolist() == [2, 1, 2]
    again, *others = [load_characters().papers_split(seed)[0].images for seed in range(6)]
    assert torch.equal(train.images, again)
    assert not all(torch.equal(again, other) for other in others)


# ---------------------------------------------------------------- where it is looked for


def test_the_named_folder_comes_first_then_data_then_the_site(data, tmp_path, monkeypatch, site):
    read = []
    monkeypatch.setattr(omniglot, "read_archive", lambda path, *rest: read.append(path) or 1 / 0)

    def first_read() -> Path:
        with pytest.raises(ZeroDivisionError):
            load_characters()
        return read.pop().parent

    assert first_read() == data and len(site.asked) == 3  # from the site into data
    site.asked.clear()
    assert first_read() == data and not site.asked
    monkeypatch.setenv("MLCOURSE_OMNIGLOT", str(put(tmp_path / "named")))
    assert first_read() == tmp_path / "named"


def test_the_same_object_again_in_the_same_process(data):
    put(data)
    first = load_characters()
    assert load_characters() is first and load_characters(20) is not first
    for file in data.iterdir():
        file.unlink()
    assert load_characters() is first


@pytest.mark.parametrize("keep", [None, "images_background.zip"])
def test_a_named_folder_without_the_archives_is_an_error(tmp_path, monkeypatch, keep):
    folder = tmp_path / "named"
    if keep:
        put(folder, evaluation=None)
    monkeypatch.setenv("MLCOURSE_OMNIGLOT", str(folder))
    with pytest.raises(OmniglotError, match="images_evaluation.zip is not there") as error:
        load_characters()
    assert str(folder) in str(error.value) and "unset" in str(error.value)
    assert ("images_background" in str(error.value)) == (keep is None)


def test_without_archives_generated_alphabets_and_one_line(data, monkeypatch, capsys):
    monkeypatch.setenv("MLCOURSE_OFFLINE", "1")
    monkeypatch.setattr(omniglot, "connect", lambda *a: pytest.fail("asked the network"))
    found = load_characters()
    assert not found.real and found.source == "generated alphabets"
    assert len(found.background) == 7 and load_characters() is found
    load_characters(20)
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "MLCOURSE_OFFLINE" in said
    assert str(data) in said and "images_background.zip and images_evaluation.zip" in said


def test_zips_put_in_place_after_the_line_are_found(data, capsys):
    assert not load_characters(download=False).real
    assert "download=False" in capsys.readouterr().out
    put(data)
    assert load_characters().real


def test_a_damaged_asset_is_an_error_with_a_remedy(data, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "asset", lambda name: tmp_path / name)
    with pytest.raises(OmniglotError, match="glyphs_28.npz is missing or damaged: install"):
        load_characters(download=False)


def test_generated_alphabets_in_another_size():
    found = load_characters(14, download=False)
    assert found.background.images.shape == (7, 20, 14, 14)
    assert found.background.images.unique().tolist() == [100]


# ---------------------------------------------------------------- the download


def test_a_download_is_verified_and_in_place(data, site, capsys):
    assert load_characters().real
    assert {p.name: p.read_bytes() for p in data.glob("*.zip")} == FILES
    assert not list(data.glob("*.part")) and capsys.readouterr().out == ""


def test_only_what_is_missing_is_fetched(data, site):
    put(data, evaluation=None)
    assert load_characters().real
    assert [start for name, start in site.asked if name == "images_evaluation.zip"] == [0]
    assert len(site.asked) == 2  # and one knock at the door


def test_an_interrupted_download_goes_on(data, site):
    data.mkdir()
    (data / "images_background.zip.part").write_bytes(FILES["images_background.zip"][:1000])
    assert load_characters().real
    assert ("images_background.zip", 1000) in site.asked


def test_a_part_that_is_already_whole_is_taken(data, site):
    data.mkdir()
    (data / "images_background.zip.part").write_bytes(FILES["images_background.zip"])
    assert load_characters().real


def test_a_server_that_cannot_resume_sends_all(data, site):
    site.trick = "deaf to ranges"
    data.mkdir()
    (data / "images_background.zip.part").write_bytes(b"x" * 1000)
    assert load_characters().real


def test_a_wrong_checksum_deletes_the_part(data, site, capsys):
    site.files["images_background.zip"] = b"<html>please log in to this network</html>"
    assert not load_characters().real
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "images_background.zip came with a wrong checksum" in said
    assert not list(data.glob("images*"))


def test_a_server_that_hangs_up_leaves_a_part_to_go_on_from(data, site, capsys):
    site.trick = "hangs up"
    assert not load_characters().real
    whole = FILES["images_background.zip"]
    assert f"stopped after {len(whole) // 2} of {len(whole)} bytes" in capsys.readouterr().out
    assert (data / "images_background.zip.part").read_bytes() == whole[: len(whole) // 2]
    site.trick = ""
    forget()
    assert load_characters().real and ("images_background.zip", len(whole) // 2) in site.asked


@pytest.mark.parametrize("trick, patience", [("silent", None), ("stalls", 0.5)])
def test_a_hanging_server_is_given_up_in_time_and_once(site, trick, patience, monkeypatch, capsys):
    site.trick = trick
    monkeypatch.setattr(omniglot, "PATIENCE", patience or omniglot.PATIENCE)
    start = time.monotonic()
    assert not load_characters().real
    assert time.monotonic() - start < 5
    asked = len(site.asked)
    start = time.monotonic()
    load_characters()
    load_characters(20)
    assert len(site.asked) == asked and time.monotonic() - start < 1
    assert capsys.readouterr().out.count("\n") == 1


def test_a_hanging_name_server_is_given_up_in_time(monkeypatch, capsys):
    over = threading.Event()
    monkeypatch.setattr(omniglot, "PATIENCE", 0.5)
    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: over.wait(20))
    start = time.monotonic()
    assert not load_characters().real
    assert time.monotonic() - start < 2.5
    over.set()
    assert "no answer within 0.5 s" in capsys.readouterr().out


def test_a_missing_page_says_so(site, monkeypatch, capsys):
    monkeypatch.setattr(Site, "do_GET", lambda self: self.send_error(404))
    assert not load_characters().real
    assert "the download failed: Not Found" in capsys.readouterr().out


def test_an_interrupted_cell_may_be_run_again(site, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(omniglot, "transfer", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            load_characters()
    assert load_characters().real


def test_two_at_once_download_once(site):
    site.trick = "slow"
    together = threading.Barrier(2)
    found = []

    def notebook():
        together.wait()
        found.append(load_characters().real)

    threads = [threading.Thread(target=notebook) for _ in range(2)]
    [t.start() for t in threads], [t.join() for t in threads]
    assert found == [True, True]
    names = [name for name, _ in site.asked]
    assert names.count("images_evaluation.zip") == 1
    assert names.count("images_background.zip") == 3  # each knocked, one fetched


def test_the_lock_holds_between_processes(data):
    data.mkdir()
    hold = (
        "import sys, time, filelock\n"
        "with filelock.FileLock(sys.argv[1]):\n"
        "    print('held', flush=True); time.sleep(1); print('done', flush=True)"
    )
    command = [sys.executable, "-c", hold, str(data / ".mlcourse.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        start = time.monotonic()
        with omniglot.one_at_a_time(data):
            assert time.monotonic() - start > 0.5
        other.wait(10)


# ---------------------------------------------------------------- disks that do not take it


@pytest.fixture
def no_folder(tmp_path, monkeypatch) -> Path:
    """A data folder that cannot be made, for root neither: it would lie inside a file."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLCOURSE_DATA", str(tmp_path / "file" / "data"))
    return tmp_path / "file" / "data"


def test_without_a_place_for_the_cache_it_stays_in_memory(no_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLCOURSE_OMNIGLOT", str(put(tmp_path / "named")))
    assert load_characters().real and load_characters(20).real
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "cannot be written (Not a directory)" in said


def test_without_a_place_for_the_download_one_line(no_folder, site, capsys):
    assert not load_characters().real
    lines = capsys.readouterr().out.splitlines()
    assert "the download failed" in lines[0] and str(no_folder) in lines[0] and not site.asked
    assert len(lines) == 1


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_costs_the_cache_only(data, monkeypatch, capsys):
    put(data)
    monkeypatch.setattr(np, "savez_compressed", full)
    assert load_characters().real
    assert "cannot be written (No space left on device)" in capsys.readouterr().out
    assert not list(data.glob("*.npz")) and not list(data.glob("*.tmp"))


def test_a_full_disk_during_the_download(site, monkeypatch, capsys):
    monkeypatch.setattr(omniglot, "transfer", full)
    assert not load_characters().real
    assert "No space left on device" in capsys.readouterr().out


# ---------------------------------------------------------------- archives that are not right


def with_byte_flipped(data: bytes, where: int) -> bytes:
    return data[:where] + bytes([data[where] ^ 0xFF]) + data[where + 1 :]


def without(pictures: dict[str, bytes], n: int) -> dict[str, bytes]:
    return dict(list(pictures.items())[:-n])


FIRST = next(iter(BACKGROUND))
BROKEN = {
    "not a zip": (b"hello", "not a zip file"),
    "cut short": (FILES["images_background.zip"][:-500], "not a zip file"),
    "a flipped bit": (with_byte_flipped(zipped(BACKGROUND, zipfile.ZIP_STORED), 200), "Bad CRC"),
    "one picture missing": (zipped(without(BACKGROUND, 1)), "59 pictures.*3 characters × 20"),
    "one character missing": (zipped(without(BACKGROUND, 20)), "40 pictures"),
    "a drawing under another": (zipped({(k if k != FIRST else k.replace("01/", "02/")): v
                                        for k, v in BACKGROUND.items()}), "60 pictures"),
    "another folder": (zipped({k[7:]: v for k, v in BACKGROUND.items()}), "0 pictures"),
    "another picture": (zipped(BACKGROUND | {FIRST: png(drawing(0))}), "not the published ones"),
    "a path upwards": (zipped(BACKGROUND | {"images_background/../../x.png": b""}), "leads out"),
    "a path from the root": (zipped(BACKGROUND | {"/etc/x.png": b""}), "leads out"),
    "a path of Windows": (zipped(BACKGROUND | {"C:x.png": b""}), "leads out"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_archive_in_data_names_the_file_to_delete(data, what):
    bad, reason = BROKEN[what]
    put(data, background=bad)
    with pytest.raises(OmniglotError, match=reason) as error:
        load_characters()
    message = str(error.value)
    assert str(data / "images_background.zip") in message and "delete it" in message
    assert "\n" not in message and not list(data.glob("*.npz"))


def test_a_broken_archive_in_a_named_folder_names_the_variable(tmp_path, monkeypatch):
    named = put(tmp_path / "named", evaluation=b"")
    monkeypatch.setenv("MLCOURSE_OMNIGLOT", str(named))
    with pytest.raises(OmniglotError, match="unset MLCOURSE_OMNIGLOT"):
        load_characters()


WRONG = {
    "depth": png(drawing(1), depth=8),
    "size": png(drawing(1)[:, :104]),
    "format": b"GIF89a",
    "data": png(drawing(1)).replace(b"IDAT\x78", b"IDAT\x00"),
    "length": png(drawing(1)).replace(struct.pack(">II", 105, 105), struct.pack(">II", 105, 104)),
}


@pytest.mark.parametrize("what", WRONG)
def test_pictures_must_be_105_by_105_of_one_bit(data, monkeypatch, what):
    pictures = BACKGROUND | {FIRST: WRONG[what]}
    archives = (known("images_background", pictures), omniglot.ARCHIVES[1])
    monkeypatch.setattr(omniglot, "ARCHIVES", archives)  # even where the contents are as expected
    put(data, background=zipped(pictures))
    with pytest.raises(OmniglotError, match="images_background.zip cannot be used"):
        load_characters()


def test_a_picture_with_filters_is_refused():
    filtered = bytearray(zlib.decompress(png(drawing(1))[41:-16]))
    filtered[15] = 1
    bad = png(drawing(1))[:41] + zlib.compress(bytes(filtered)) + b"\0" * 16
    start = bad.index(b"IDAT")
    bad = bad[: start - 4] + struct.pack(">I", len(bad) - 57) + bad[start:]
    with pytest.raises(ValueError, match="unknown way"):
        omniglot.shrunk([bad], 28)


def test_repacking_does_not_matter_nor_do_other_files(data):
    more = {"images_background/": b"", "__MACOSX/._x": b"x", "images_background/Greek/notes": b""}
    put(data, background=zipped(dict(reversed(BACKGROUND.items())) | more, zipfile.ZIP_STORED))
    assert load_characters().background.drawer.tolist() == [list(range(1, 21))] * 3


def test_nothing_is_extracted(data):
    put(data)
    load_characters()
    assert {p.name for p in data.rglob("*")} <= {*FILES, "omniglot_28.npz", ".mlcourse.lock"}


# ---------------------------------------------------------------- the packed cache


def test_the_cache_returns_what_was_packed(data):
    put(data)
    packed = load_characters()
    for name in FILES:
        (data / name).unlink()
    forget()
    found = load_characters(download=False)
    assert found.source == packed.source
    for a, b in zip(packed[:2], found[:2], strict=True):
        assert a.alphabets == b.alphabets
        for name in ("images", "alphabet", "drawer", "rotation"):
            x, y = getattr(a, name), getattr(b, name)
            assert x.dtype == y.dtype and torch.equal(x, y)


def spoil_bytes(path: Path) -> None:
    path.write_bytes(with_byte_flipped(path.read_bytes(), path.stat().st_size // 2))


def spoil_length(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def spoil_format(path: Path) -> None:
    np.savez(path, stamp="0 28", source="Omniglot")


def spoil_pickle(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def spoil_plain_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


SPOILS = [spoil_bytes, spoil_length, spoil_format, spoil_pickle, spoil_plain_array]


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_spoilt_cache_is_made_anew(data, spoil, capsys):
    put(data)
    good = load_characters()
    spoil(data / "omniglot_28.npz")
    forget()
    again = load_characters()
    assert torch.equal(again.background.images, good.background.images)
    stamp = str(np.load(data / "omniglot_28.npz")["stamp"])
    assert omniglot.read_cache(data / "omniglot_28.npz", stamp) is not None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_spoilt_cache_without_archives_is_an_error(data, spoil):
    put(data)
    load_characters()
    for name in FILES:
        (data / name).unlink()
    spoil(data / "omniglot_28.npz")
    forget()
    with pytest.raises(OmniglotError, match="omniglot_28.npz is damaged.*delete it"):
        load_characters(download=False)


def test_a_cache_of_other_pictures_is_stale(data, monkeypatch):
    put(data)
    load_characters()
    forget()
    other = BACKGROUND | {FIRST: png(np.zeros((105, 105), np.uint8))}
    archives = (known("images_background", other), omniglot.ARCHIVES[1])
    monkeypatch.setattr(omniglot, "ARCHIVES", archives)
    put(data, background=zipped(other))
    assert load_characters().background.images[0, 0].min() == 255


def test_writers_and_readers_of_the_cache_do_not_meet(data):
    put(data)
    pack, path, stop = load_characters(), data / "busy.npz", threading.Event()
    omniglot.write_cache(path, pack, "s")
    failed = []

    def write():
        try:
            while not stop.is_set():
                omniglot.write_cache(path, pack, "s")
        except OSError as error:
            failed.append(error)

    writers = [threading.Thread(target=write) for _ in range(2)]
    [t.start() for t in writers]
    read = [omniglot.read_cache(path, "s") for _ in range(60)]
    stop.set(), [t.join() for t in writers]
    assert not failed and all(r is not None for r in read) and not list(data.glob("*.tmp"))


def test_the_slower_of_two_takes_the_cache_of_the_faster(data):
    put(data)
    pack, built = load_characters(), []
    gate = threading.Barrier(2)

    def build():
        built.append(1)
        time.sleep(0.2)
        return pack

    def notebook():
        gate.wait()
        omniglot.cached(data / "shared.npz", "s", build)

    threads = [threading.Thread(target=notebook) for _ in range(2)]
    [t.start() for t in threads], [t.join() for t in threads]
    assert built == [1]


# ---------------------------------------------------------------- the real thing

OFFICIAL = omniglot.ARCHIVES


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The real characters, unpacked once, then once more from the cache: seconds for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLCOURSE_OMNIGLOT", str(REAL))
        patch.setenv("MLCOURSE_DATA", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(omniglot, "ARCHIVES", OFFICIAL)
        forget()
        load_characters()
        forget()
        start = time.monotonic()
        found = load_characters()
        yield found, time.monotonic() - start


@needs_real
def test_real_counts(real):
    found, _ = real
    assert found.real
    assert found.background.images.shape == (964, 20, 28, 28)
    assert found.evaluation.images.shape == (659, 20, 28, 28)
    assert (len(found.background.alphabets), len(found.evaluation.alphabets)) == (30, 20)
    assert found.background.alphabets[0] == "Alphabet_of_the_Magi"
    assert found.evaluation.alphabets[-1] == "ULOG"
    assert not set(found.background.alphabets) & set(found.evaluation.alphabets)
    for side in found[:2]:
        assert side.drawer.tolist() == [list(range(1, 21))] * len(side)
        assert side.alphabet.unique().tolist() == list(range(len(side.alphabets)))
        assert 10 < side.images.float().mean() < 40  # thin bright strokes on black
        assert side.images.amax((2, 3)).min() > 100  # and something on every picture


@needs_real
@pytest.mark.parametrize("archive", OFFICIAL, ids=lambda a: a.folder)
def test_real_pictures_are_where_they_belong(real, archive):
    side = real[0].background if archive.folder == "images_background" else real[0].evaluation
    with zipfile.ZipFile(REAL / archive.file) as file:
        names = sorted(name for name in file.namelist() if name.endswith(".png"))
        for i in (0, 7, 4321, len(names) - 1):
            pixels = np.asarray(Image.open(io.BytesIO(file.read(names[i])))).astype(int)
            image = side.images[i // 20, i % 20].numpy().astype(float)
            assert np.abs(image - block_mean(pixels, 28)).max() <= 1
            _, alphabet, _, picture = names[i].split("/")
            assert side.alphabets[side.alphabet[i // 20]] == alphabet
            assert side.drawer[i // 20, i % 20] == int(picture[5:7])


@needs_real
def test_real_fast_reader_agrees_with_pillow():
    with zipfile.ZipFile(REAL / "images_evaluation.zip") as file:
        for name in sorted(file.namelist())[::97]:
            data = file.read(name)
            lines = np.frombuffer(omniglot.scanlines(data), np.uint8).reshape(105, 15)
            assert not lines[:, 0].any()
            pixels = np.unpackbits(lines[:, 1:], axis=1)[:, :105].astype(bool)
            assert np.array_equal(pixels, np.asarray(Image.open(io.BytesIO(data))))


@needs_real
def test_real_cache_is_fast(real):
    assert real[1] < 1.0  # 0.1 s on an idle machine; the benchmark has the figure


@needs_real
def test_real_papers_split(real):
    train, test = real[0].papers_split()
    assert (len(train), len(test)) == (4800, 1692)
    sums = [c.images.flatten(1).double() @ torch.arange(20 * 784).double() for c in (train, test)]
    upright = [s[c.rotation == 0] for s, c in zip(sums, (train, test), strict=True)]
    assert len(set(upright[0].tolist()) | set(upright[1].tolist())) == 1623
    for side in (train, test):
        quarter = len(side) // 4
        turned = torch.rot90(side.images[:quarter], 1, (2, 3))
        assert torch.equal(turned, side.images[quarter : 2 * quarter])
