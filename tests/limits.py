"""How long a test waits before it calls something hung: generous, machines are busy."""

HANG_SECONDS = 1800
