"""The program that typesets formulas is waited for, however busy the machine is."""

from __future__ import annotations

import sys

import pytest
from sphinxcontrib.katex import KaTeXError, KaTeXServer
from typeset_math import start_server

SLOW = """
import socket, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
time.sleep(0.5)
listener.listen()
listener.accept()[0].sendall(b"here")
"""


def server(program: str) -> type[KaTeXServer]:
    class Server(KaTeXServer):
        @classmethod
        def build_command(cls, socket=None, port=None):
            return [sys.executable, "-c", program, str(socket)]

    return Server


def test_a_socket_that_is_there_before_anything_listens_is_waited_for(tmp_path):
    process, connection = start_server(server(SLOW), tmp_path, 60)
    assert connection.recv(4) == b"here"
    connection.close()
    process.wait(60)


def test_a_program_that_never_listens_is_given_up(tmp_path):
    with pytest.raises(KaTeXError):
        start_server(server("import time; time.sleep(60)"), tmp_path, 0.1)
