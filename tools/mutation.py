"""Put faults into the library, and count how many of them the tests catch.

    python -m tools.mutation --list                        what can be changed, and where
    python -m tools.mutation --run --out report.json       the faults put in by hand
    python -m tools.mutation --run --sample 100 --seed 0   and 100 small changes drawn at random
    python -m tools.mutation --run --sample 20 --only merges
    python -m tools.mutation --show 'wide_resnet'          what such mutants change

A fault in one framework alone is caught by comparison with its twins. So mutants are made in all
twins at once, and in the code that they share (``--kinds twin,shared``, the default); ``single``
changes one framework. The faults put in by hand stand in ``mutations/faults.py``, the operators
that make small changes in ``mutations/operators.py``.

``--run`` works on a copy of the project. It runs the tests once as they are, to learn which test
reaches which function and how long it takes. Each mutant then meets the tests that reach it, the
quickest first and together at most ``--seconds`` of CPU time, in a forked child that has PyTorch
and TensorFlow imported already. The report is written after every mutant; a run that was stopped
goes on where it stood, as long as the library's code is the same. ``--again`` runs survivors once
more, after tests were added. ``--root`` is another checkout to measure, an older one too.

A mutant that changes no result, or that no test need catch, is named with its reason in
``mutations/survivors.toml`` and does not count. Exit status 1: of those that count, less than
``--least`` (95 %) were caught.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import random
import sys
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from tools.mutations import patterns, places, runner
from tools.mutations.faults import FAULTS
from tools.mutations.places import Mutant

SURVIVORS = Path(__file__).parent / "mutations" / "survivors.toml"


def known_survivors(path: Path = SURVIVORS) -> dict[str, str]:
    """Return the reason for each name in the list of mutants that do not count."""
    table = tomllib.loads(path.read_text())
    return {entry["mutant"]: entry["reason"] for entry in table.get("survivor", ())}


def reason(mutant: Mutant, known: dict[str, str]) -> str:
    """Return why a mutant does not count, or an empty string."""
    for name, why in known.items():
        begins = name.endswith("*") and mutant.name.startswith(name[:-1])
        if name == mutant.name or begins:
            return why
    return mutant.equivalent


def chosen(root: Path, arguments: argparse.Namespace) -> list[Mutant]:
    """Return the faults put in by hand and the sample of small changes, in the order of the run."""
    package = root / "companion"
    by_hand = []
    for fault in FAULTS:
        mutant, missing = patterns.curated(package, fault)
        if missing:
            print(f"no place for {fault.name!r}: {'; '.join(missing)}", file=sys.stderr)
        elif not arguments.only or arguments.only in {Path(f).stem for f, _ in mutant.scopes}:
            by_hand.append(mutant)
    kinds = arguments.kinds.split(",")
    small = [m for m in places.mutants(package, arguments.only) if m.kind in kinds]
    if arguments.sample is not None:
        count = min(arguments.sample, len(small))
        small = random.Random(arguments.seed).sample(sorted(small, key=lambda m: m.name), count)
    return [*by_hand, *small] if arguments.sample is not None or not arguments.run else by_hand


def texts(root: Path, mutant: Mutant) -> dict[str, str]:
    """Return the new text of each file that a mutant changes."""
    return mutant.texts or places.texts(root / "companion", mutant)


def difference(root: Path, mutant: Mutant) -> str:
    """Return what a mutant changes, line by line, as Python writes the tree."""
    lines = []
    for name, text in sorted(texts(root, mutant).items()):
        before = ast.unparse(ast.parse((root / "companion" / name).read_text())).splitlines()
        found = difflib.unified_diff(before, text.splitlines(), name, name, n=0, lineterm="")
        lines += [line for line in found if not line.startswith(("+++", "@@"))]
    return "\n".join(lines)


def run(root: Path, mutants: list[Mutant], arguments: argparse.Namespace) -> dict[str, Any]:
    """Run all mutants that the report does not hold yet; return its results."""
    out = Path(arguments.out).resolve()
    code = runner.tree_hash(root)
    report = runner.read_json(out)
    if report.get("code") != code:
        report = {"code": code, "results": {}}
    results, known = report["results"], known_survivors()
    work = runner.Runner(root, out.with_suffix(".tests.json"), arguments.seconds, arguments.slowest)
    try:
        work.baseline(say)
        for i, mutant in enumerate(mutants, 1):
            held = results.get(mutant.name)
            if held and not (arguments.again and held["outcome"] == "survived"):
                continue
            why = reason(mutant, known)
            result: dict[str, Any] = {"kind": mutant.kind, "outcome": "equivalent", "by": why}
            if not why:
                result = work.run(mutant, texts(root, mutant))
            if result["outcome"] == "survived":
                result["difference"] = difference(root, mutant).splitlines()
            results[mutant.name] = result
            runner.write_json(out, report)
            where = "" if mutant.kind == "curated" else f" [{mutant.kind}]"
            say(
                f"{i}/{len(mutants)} {result['outcome']} {result.get('seconds', 0)} s"
                f"{where} {mutant.name}  <- {result['by'] or 'nothing'}"
            )
    finally:
        work.sandbox.remove()
    return results


def say(line: str) -> None:
    print(line, flush=True)


def summary(mutants: list[Mutant], results: dict[str, Any]) -> float:
    """Print shares and survivors; return the smaller share of those put in by hand and drawn."""
    known, shares = known_survivors(), [1.0]
    for title, by_hand in (("put in by hand", True), ("drawn", False)):
        found = [
            replace(m, equivalent=reason(m, known))
            for m in mutants
            if (m.kind == "curated") == by_hand and m.name in results
        ]
        counts = Counter(
            "equivalent" if m.equivalent else results[m.name]["outcome"] for m in found
        )
        counting = len(found) - counts["equivalent"]
        if not counting:
            continue
        shares.append(counts["caught"] / counting)
        print(
            f"{title}: {counts['caught']} of {counting} caught, {shares[-1]:.1%}"
            f" ({counts['equivalent']} do not count)"
        )
        for mutant in found:
            result = results[mutant.name]
            if not mutant.equivalent and result["outcome"] != "caught":
                tests = f"{result['tests']} tests, {result['left_out']} left out"
                say(f"  {result['outcome']}: {mutant.name} ({tests})")
    return min(shares)


def main(given: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.mutation", description=(__doc__ or "").splitlines()[0]
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--list", action="store_true", help="print the names of all mutants")
    what.add_argument("--show", metavar="TEXT", help="print what mutants of such names change")
    what.add_argument("--run", action="store_true", help="run the tests on them")
    parser.add_argument("--root", type=Path, default=Path(), help="of the checkout to measure")
    parser.add_argument("--sample", type=int, metavar="N", help="small changes to draw")
    parser.add_argument("--seed", type=int, default=0, help="of the draw, default 0")
    parser.add_argument("--kinds", default="twin,shared", help="twin, shared, single; with commas")
    parser.add_argument("--only", default="", metavar="MODULE", help="as merges")
    parser.add_argument("--out", default="_build/mutation.json", help="report, read and written")
    parser.add_argument("--again", action="store_true", help="run survivors of the report again")
    parser.add_argument("--seconds", type=float, default=40, help="of tests for one mutant")
    parser.add_argument("--slowest", type=float, default=12, help="seconds of one test that is run")
    parser.add_argument("--least", type=float, default=0.95, help="share that has to be caught")
    arguments = parser.parse_args(given)
    root = arguments.root.resolve()
    mutants = chosen(root, arguments)
    if arguments.list:
        for mutant in mutants:
            print(f"{mutant.kind:8} {mutant.name}")
        print(Counter(mutant.kind for mutant in mutants))
        return 0
    if arguments.show:
        for mutant in mutants:
            if arguments.show in mutant.name:
                print(f"{mutant.kind}: {mutant.name}\n{difference(root, mutant)}\n")
        return 0
    runner.import_frameworks()
    share = summary(mutants, run(root, mutants, arguments))
    return 0 if share >= arguments.least else 1


if __name__ == "__main__":
    sys.exit(main())
