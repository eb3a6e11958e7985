"""A stage of make says one line, or everything if it fails."""

from __future__ import annotations

import sys

from tools.stage import stage


def test_a_stage_says_its_last_line_or_everything(capfd):
    code = "print('one'); print('=== two ==='); raise SystemExit({})"
    assert stage("fine", [sys.executable, "-c", code.format(0)]) == 0
    line = capfd.readouterr().out
    assert line.startswith("fine ") and "two [0" in line and line.count("\n") == 1
    colored = "print('three'); print('\\x1b[92m======\\x1b[0m')"
    assert stage("fine", [sys.executable, "-c", colored]) == 0
    assert capfd.readouterr().out.startswith("fine                     three [")
    assert stage("broken", [sys.executable, "-c", code.format(3)]) == 3
    assert "FAILED\none\n=== two ===\n" in capfd.readouterr().out
