"""What the book needs beside the library: claims, figures, stored runs, the bench.

Nothing outside this folder imports it, but for ``companion.__main__``, which joins both command
lines.
"""
