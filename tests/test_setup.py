"""The two commands: what setup installs, when it does nothing, and what a learner's copy lives."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from mlcourse import __main__ as main

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-m", "mlcourse"]


def lines(path):
    """The lines of a requirements file, its comments left out."""
    rows = [line.split("#")[0].strip() for line in (ROOT / path).read_text().splitlines()]
    return [row for row in rows if row]


# ---------------------------------------------------------------- the requirement files


def test_environment_yml_and_requirements_txt_are_equal():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert dependencies[-1]["pip"] == lines("requirements.txt")
    python = next(d for d in dependencies if str(d).startswith("python="))
    assert (3, 11) <= tuple(int(n) for n in python.split("=")[1].split(".")) < (3, 14)


def test_every_pin_is_exact_and_within_the_packages_ranges():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = [row for row in lines("requirements.txt") if row != "-e ."]
    every = pins + lines("tests/requirements.txt")
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in every)
    pinned = {pin.split("==")[0]: pin.split("==")[1] for pin in pins}
    for need in map(Requirement, project["dependencies"]):
        assert need.specifier.contains(pinned[need.name]), need


def test_no_file_names_an_index():
    for path in ("requirements.txt", "environment.yml", "tests/requirements.txt"):
        assert "index" not in (ROOT / path).read_text() and "http" not in (ROOT / path).read_text()


# ---------------------------------------------------------------- setup


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A folder to set up, with a pip that only notes what it was asked for."""
    (tmp_path / "tests").mkdir()
    for name in ("requirements.txt", "tests/requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    asked = []

    def fake_pip(root, *arguments):
        asked.append(arguments)
        return course.works

    def fake_venv(root):
        python = main.venv_python(root)
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()

    course = type("Course", (), {"root": tmp_path, "asked": asked, "works": True})()
    monkeypatch.setattr(main, "pip", fake_pip)
    monkeypatch.setattr(main, "make_venv", fake_venv)
    monkeypatch.setattr(main, "has_nvidia", lambda: True)
    return course


def test_setup_installs_once_and_again_when_a_pin_changes(course):
    main.setup(course.root)
    assert course.asked == [("-r", "requirements.txt")]
    main.setup(course.root)
    assert len(course.asked) == 1
    main.setup(course.root, tests=True)
    assert course.asked[1:] == [("-r", "requirements.txt", "-r", "tests/requirements.txt")]
    main.setup(course.root)
    main.setup(course.root, tests=True)
    assert len(course.asked) == 2
    with (course.root / "requirements.txt").open("a") as out:
        out.write("more==1.0\n")
    main.setup(course.root, tests=True)
    assert len(course.asked) == 3


def test_a_half_finished_install_leaves_no_stamp(course):
    main.setup(course.root)
    (course.root / "pyproject.toml").write_text("changed = true")
    course.works = False
    with pytest.raises(main.Stop, match="could not be installed"):
        main.setup(course.root)
    assert not main.is_installed(course.root, ["requirements.txt"])
    assert not list((course.root / ".venv").glob(".installed-*"))
    course.works = True
    main.setup(course.root)
    assert main.is_installed(course.root, ["requirements.txt"])


def test_a_moved_folder_and_a_vanished_python_are_installed_again(course, tmp_path):
    main.setup(course.root)
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    shutil.copytree(course.root, moved)
    assert not main.is_installed(moved, ["requirements.txt"])
    main.venv_python(course.root).unlink()
    assert not main.is_installed(course.root, ["requirements.txt"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="about Linux")
@pytest.mark.parametrize(
    "nvidia, answers, first", [(False, True, True), (False, False, False), (True, True, False)]
)
def test_torch_without_cuda_comes_first_where_it_can(course, monkeypatch, nvidia, answers, first):
    monkeypatch.setattr(main, "has_nvidia", lambda: nvidia)
    monkeypatch.setattr(main, "answers", lambda url: answers)
    main.setup(course.root)
    cpu = (main.pinned_torch(ROOT), "--index-url", "https://download.pytorch.org/whl/cpu")
    assert (course.asked[0] == cpu) is first
    assert course.asked[-1] == ("-r", "requirements.txt")


def test_a_dead_network_is_noticed_within_the_deadline():
    with socket.socket() as deaf:  # accepts, and never answers
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        start = time.monotonic()
        assert not main.answers(f"http://127.0.0.1:{deaf.getsockname()[1]}/", seconds=0.5)
        assert time.monotonic() - start < 2


def test_a_hanging_name_look_up_is_noticed_within_the_deadline(monkeypatch):
    def hang(*_, **__):
        time.sleep(1)
        raise OSError

    monkeypatch.setattr(urllib.request, "urlopen", hang)
    start = time.monotonic()
    assert not main.answers("http://example.invalid/", seconds=0.2)
    assert time.monotonic() - start < 0.9


@pytest.mark.parametrize("version", [(3, 8, 1), (3, 10, 9), (3, 14, 0)])
def test_another_python_is_one_sentence(monkeypatch, capsys, version):
    monkeypatch.setattr(main.sys, "version_info", version)
    assert main.main(["setup"]) == 1
    said = capsys.readouterr().err
    assert "3.11, 3.12 or 3.13" in said and said.count("\n") == 1


def test_a_missing_venv_module_is_one_sentence(course, monkeypatch, capsys):
    monkeypatch.setattr(main, "ROOT", course.root)
    monkeypatch.setattr(main.importlib.util, "find_spec", lambda name: None)
    assert main.main(["setup"]) == 1
    said = capsys.readouterr().err
    assert "python3-venv" in said and said.count("\n") == 1


def test_a_full_disk_is_one_sentence(course, monkeypatch, capsys):
    def full(root):
        raise OSError(28, "No space left on device", str(root / ".venv"))

    monkeypatch.setattr(main, "ROOT", course.root)
    monkeypatch.setattr(main, "make_venv", full)
    assert main.main(["setup"]) == 1
    assert capsys.readouterr().err.endswith(".venv: No space left on device\n")


def test_setup_outside_the_course_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(main, "ROOT", tmp_path)
    assert main.main(["setup"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_commands_need_nothing_installed():
    code = "import sys, mlcourse.__main__; print(*sys.modules)"
    command = [sys.executable, "-S", "-c", code]  # -S: no site-packages
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "platformdirs", "jupyterlab"} & set(done.stdout.split())


def test_lab_with_nothing_installed_is_one_sentence():
    command = [sys.executable, "-S", "-m", "mlcourse", "lab"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "make lab" in done.stderr


# ---------------------------------------------------------------- the learner's copies


@pytest.fixture
def shelf(tmp_path):
    """A folder of shipped chapters and the learner's folder."""
    chapters = tmp_path / "chapters"
    (chapters / "source").mkdir(parents=True)
    (chapters / "00_a.ipynb").write_text("first")
    (chapters / "01_b.ipynb").write_text("b")
    return chapters, tmp_path / "my course"


def names(folder):
    """What the learner sees, with contents."""
    return {p.name: p.read_text() for p in sorted(folder.glob("*.ipynb"))}


def test_chapters_are_copied_once_and_again_when_the_copy_is_gone(shelf):
    chapters, mine = shelf
    assert main.refresh_copies(chapters, mine) == []
    assert names(mine) == {"00_a.ipynb": "first", "01_b.ipynb": "b"}
    (mine / "01_b.ipynb").unlink()
    main.refresh_copies(chapters, mine)
    assert names(mine) == {"00_a.ipynb": "first", "01_b.ipynb": "b"}


def test_a_changed_copy_is_never_overwritten(shelf):
    chapters, mine = shelf
    main.refresh_copies(chapters, mine)
    (mine / "00_a.ipynb").write_text("my answer")
    assert main.refresh_copies(chapters, mine) == []
    (chapters / "00_a.ipynb").write_text("second")
    said = main.refresh_copies(chapters, mine)
    assert len(said) == 1 and "00_a_v2.ipynb" in said[0]
    assert names(mine) == {"00_a.ipynb": "my answer", "00_a_v2.ipynb": "second", "01_b.ipynb": "b"}
    assert main.refresh_copies(chapters, mine) == []
    (mine / "00_a_v2.ipynb").unlink()  # thrown away: it does not come back
    assert main.refresh_copies(chapters, mine) == []
    assert "00_a_v2.ipynb" not in names(mine)
    (chapters / "00_a.ipynb").write_text("third")
    main.refresh_copies(chapters, mine)
    (mine / "00_a_v2.ipynb").write_text("my second answer")
    (chapters / "00_a.ipynb").write_text("fourth")
    assert "00_a_v3.ipynb" in main.refresh_copies(chapters, mine)[0]
    assert names(mine)["00_a.ipynb"] == "my answer"
    assert names(mine)["00_a_v2.ipynb"] == "my second answer"
    assert names(mine)["00_a_v3.ipynb"] == "fourth"


def test_an_untouched_copy_is_replaced(shelf):
    chapters, mine = shelf
    main.refresh_copies(chapters, mine)
    (chapters / "00_a.ipynb").write_text("second")
    assert len(main.refresh_copies(chapters, mine)) == 1
    assert names(mine) == {"00_a.ipynb": "second", "01_b.ipynb": "b"}


def test_without_its_memory_nothing_of_the_learners_is_lost(shelf):
    chapters, mine = shelf
    main.refresh_copies(chapters, mine)
    (mine / "00_a.ipynb").write_text("my answer")
    for broken in ("{", "[]", '{"00_a.ipynb": 3}'):
        (mine / main.MEMORY).write_text(broken)
        main.refresh_copies(chapters, mine)
    assert names(mine)["00_a.ipynb"] == "my answer"
    assert names(mine)["00_a_v2.ipynb"] == "first"
    assert "00_a_v3.ipynb" not in names(mine)


def test_pictures_come_along_and_sources_do_not(shelf):
    chapters, mine = shelf
    (chapters / "pictures").mkdir()
    (chapters / "pictures" / "x.png").write_bytes(b"png")
    (chapters / "source" / "00_a.py").write_text("")
    main.refresh_copies(chapters, mine)
    assert (mine / "pictures" / "x.png").read_bytes() == b"png"
    assert not (mine / "source").exists()


# ---------------------------------------------------------------- JupyterLab


def test_options_reach_jupyterlab(monkeypatch, tmp_path):
    options = main.parse(["lab", "--ip", "0.0.0.0", "--port", "9", "--no-browser", "--", "--a=b"])
    command = main.serve_command(tmp_path, "00_x.ipynb", options)
    assert {"--ip=0.0.0.0", "--port=9", "--no-browser"} <= set(command)
    assert "--LabApp.default_url=/lab/tree/00_x.ipynb" in command
    assert options.extra == ["--a=b"]
    assert "--LabApp.default_url=/lab" in main.serve_command(tmp_path, "", options)
    monkeypatch.setattr(main.os, "geteuid", lambda: 0, raising=False)
    assert "--allow-root" in main.serve_command(tmp_path, "", options)
    monkeypatch.setattr(main.os, "geteuid", lambda: 1000, raising=False)
    assert "--allow-root" not in main.serve_command(tmp_path, "", options)


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url, seconds=60):
    """The JSON behind a URL, as soon as the server answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:
                return json.load(reply)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def test_lab_serves_the_learners_copies_and_a_save_changes_nothing_tracked(tmp_path):
    port, home = free_port(), tmp_path / "my course"
    command = [*COMMAND, "lab", "--ip=127.0.0.1", f"--port={port}", "--no-browser"]
    env = dict(os.environ, MLCOURSE_HOME=str(home), JUPYTER_CONFIG_DIR=str(tmp_path / "config"))
    shipped = {p: p.read_bytes() for p in (ROOT / "chapters").rglob("*") if p.is_file()}
    with (tmp_path / "log").open("w") as log:
        extra = ["--", "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True"]
        server = subprocess.Popen([*command, *extra], cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        site = f"http://127.0.0.1:{port}/api/contents"
        chapters = sorted(p.name for p in (ROOT / "chapters").glob("*.ipynb"))
        there = get(site)["content"]
        assert sorted(f["name"] for f in there if f["type"] == "notebook") == chapters
        for name in chapters:
            model = get(f"{site}/{name}")
            model["content"]["cells"][-1]["source"] = "my answer"
            data = json.dumps({"type": "notebook", "format": "json", "content": model["content"]})
            request = urllib.request.Request(f"{site}/{name}", data.encode(), method="PUT")
            urllib.request.urlopen(request, timeout=30).close()
            assert "my answer" in (home / name).read_text()
        (home / "text.py").write_text("x = 1\n")
        with pytest.raises(urllib.error.HTTPError):  # with pairing on, this opens as a notebook
            urllib.request.urlopen(f"{site}/text.py?type=notebook", timeout=10)
    finally:
        server.terminate()
        server.wait(20)
    assert shipped == {p: p.read_bytes() for p in (ROOT / "chapters").rglob("*") if p.is_file()}


def test_make_passes_options_through_and_ignores_the_shells_own():
    if not shutil.which("make"):
        pytest.skip("no make here")
    env = dict(os.environ, HOST="my-laptop", PORT="1", BROWSER="firefox")
    command = ["make", "-n", "lab", "PYTHON=python3"]
    plain = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert "--" not in plain.stdout
    command += ["HOST=0.0.0.0", "PORT=9", "BROWSER=no", "ARGS=-- --a=b"]
    told = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert "--ip=0.0.0.0 --port=9 --no-browser -- --a=b" in re.sub(" +", " ", told.stdout)
