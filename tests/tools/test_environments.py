"""Dockerfile, development container, Binder and conda: whole, and no version in two places."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from tools.extras import extras

ROOT = Path(__file__).resolve().parents[2]
MADE = ("Dockerfile", ".devcontainer/devcontainer.json", "environment.yml")
BINDER = ("binder/runtime.txt", "binder/postBuild")
PINS = dict(
    re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements.txt").read_text("utf-8"), re.M)
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize("name", [*MADE, *BINDER])
def test_versions_stand_in_requirements_alone(name):
    assert not re.search(r"[=<>~]=\s*\d|@\s*https?:", text(name))
    assert not [
        pin for pin in PINS.values() if re.search(rf"(?<![\d.]){re.escape(pin)}", text(name))
    ]


def test_all_take_their_versions_from_requirements():
    assert "-r requirements.txt" in text("Dockerfile")
    assert "--constraint requirements.txt" in text("binder/postBuild")
    pip = yaml.safe_load(text("environment.yml"))["dependencies"][-1]["pip"]
    assert pip[-2:] == ["-r requirements.txt", "-e ."]


def test_all_have_one_python_that_the_package_takes():
    found = {
        *re.findall(r"FROM python:(\S+)-slim", text("Dockerfile")),
        *re.findall(r"python-(\S+)", text("binder/runtime.txt")),
        *re.findall(r"- python=(\S+)", text("environment.yml")),
    }
    (version,) = found
    assert PROJECT["requires-python"] == f">={version}"


@pytest.mark.parametrize("name", ["Dockerfile", "binder/postBuild", "environment.yml"])
def test_all_take_pytorch_without_cuda(name):
    assert re.search(r"--torch-backend=cpu|pytorch\.org/whl/cpu", text(name))


def test_what_the_readme_installs_is_what_is_pinned():
    named = re.findall(r"(?<![\w.-])([\w-]+)==([\w.]+)", text("README.md"))
    assert named and all(PINS[name] == version for name, version in named)


def instructions() -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", text("Dockerfile")))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line]


def test_the_dockerfile_is_one():
    known = {"FROM", "RUN", "USER", "WORKDIR", "COPY", "EXPOSE", "CMD"}
    found = instructions()
    assert {name for name, rest in found} <= known and found[0][0] == "FROM"
    assert json.loads(dict(found)["CMD"])[:2] == ["make", "lab"]
    for name, rest in found:
        if name == "RUN":
            subprocess.run(["sh", "-n", "-c", rest], check=True)
        elif name == "COPY":
            *sources, _ = [word for word in rest.split() if not word.startswith("--")]
            assert all((ROOT / source).exists() for source in sources)
    last = [rest for name, rest in found if name == "USER"][-1]
    assert last == json.loads(text(MADE[1]))["remoteUser"] != "root"


def test_the_development_container_is_made_by_it():
    container = json.loads(text(".devcontainer/devcontainer.json"))
    build, folder = container["build"], ROOT / ".devcontainer"
    assert (folder / build["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (folder / build["context"]).resolve() == ROOT
    place = re.search(r"ln -sfn (\S+) \.venv", container["postCreateCommand"])[1]
    assert f"ln -s {place} .venv" in text("Dockerfile")
    interpreter = container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert interpreter == f"{place}/bin/python"


def test_what_is_built_here_does_not_go_into_the_image():
    left_out = text(".dockerignore").split()
    assert {".git", ".venv", "_build"} <= set(left_out)


def test_binder_can_run_its_script_and_gets_what_every_page_needs():
    script = ROOT / "binder" / "postBuild"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "'.[all]'" in script.read_text("utf-8")
    everything = ",".join(PROJECT["optional-dependencies"]["all"])
    for page in (ROOT / "book").glob("*.ipynb"):
        assert set(extras(page)) - {"keras"} <= set(re.findall(r"[\w]+", everything)), page.name
