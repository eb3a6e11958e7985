"""What fails in the harness is shown as what fails in a test: with the values that it compared."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.library.harness")
