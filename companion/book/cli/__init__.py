"""The book's own commands: its ledger, and what the networks cost."""

from companion.book.cli import bench, ledger

COMMANDS = (ledger, bench)
