"""What runs on GitHub: actions that cannot change, rights that are needed, one artefact."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from published import NOTEBOOKS_BRANCH

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
#: What a job may do beyond reading.
RIGHTS = {
    ("book", "deploy"): {"pages": "write", "id-token": "write"},
    ("book", "notebooks"): {"contents": "write"},
    ("weekly", "report"): {"issues": "write"},
}


def workflow(name: str) -> dict:
    return yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text("utf-8"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_every_action_is_named_by_its_commit_and_says_its_version(path):
    text = path.read_text("utf-8")
    used = re.findall(r"uses: (.*)", text)
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", u) for u in used)


def test_one_action_is_one_version_everywhere():
    used = {u for p in WORKFLOWS for u in re.findall(r"uses: (.*)", p.read_text("utf-8"))}
    assert len(used) == len({action.partition("@")[0] for action in used}) > 4


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_jobs_may_read_and_no_more_but_where_it_says_why(path):
    flow = workflow(path.stem)
    assert flow["permissions"] == {"contents": "read"}
    for name, job in flow["jobs"].items():
        assert job.get("permissions") == RIGHTS.get((path.stem, name)), name


def test_what_is_published_is_what_was_tested():
    jobs = workflow("book")["jobs"]
    builds = [n for n, job in jobs.items() if any("make" in s.get("run", "") for s in job["steps"])]
    assert builds == ["test"]
    uses = [step.get("uses", step.get("run", "")) for step in jobs["test"]["steps"]]
    tested = uses.index("make test")
    assert all("upload" not in use for use in uses[:tested])
    assert sum("upload" in use for use in uses[tested:]) == 3
    for name in ("deploy", "notebooks"):
        assert jobs[name]["needs"] == "test" and jobs[name]["if"] == "github.event_name == 'push'"
        assert not any("checkout" in step.get("uses", "") for step in jobs[name]["steps"])


def test_a_pull_request_has_no_address_and_a_push_has_all():
    setting = workflow("book")["jobs"]["test"]["env"]
    assert set(setting) == {"BOOK_REPOSITORY", "BOOK_REF", "BOOK_URL"}
    assert all("github.event_name == 'push' &&" in value for value in setting.values())


def test_the_branch_of_the_notebooks_is_the_one_that_colab_is_told():
    steps = workflow("book")["jobs"]["notebooks"]["steps"]
    script = "\n".join(step.get("run", "") for step in steps)
    assert f"git init -q -b {NOTEBOOKS_BRANCH}\n" in script
    assert script.rstrip().endswith(f'.git" {NOTEBOOKS_BRANCH}')
    assert steps[0]["with"]["path"] == f"{NOTEBOOKS_BRANCH}/book"
