"""Where the book is published, as the one setting says, and the addresses that follow from it.

The setting is three variables of the environment: ``BOOK_REPOSITORY`` (owner/name on GitHub),
``BOOK_REF`` (the commit, tag or branch that the pages are built from) and ``BOOK_URL`` (the address
of the site; without it, the one that GitHub Pages gives the repository). Without a repository the
book is not published: there are no addresses, and no page offers one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote, urlsplit

#: The branch of the repository that holds the notebooks with the package's address in them.
NOTEBOOKS_BRANCH = "published"

REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
REF = re.compile(r"(?!.*(?:\.\.|//|/\.|\.lock(?:/|$)))[A-Za-z0-9_][A-Za-z0-9._/-]*(?<![./])")
ADDRESS = re.compile(r'(?m)^(\s*"PACKAGE = \\")[^"\\]*(\\"\\n",)$')


@dataclass(frozen=True)
class Published:
    """A repository, the ref that the pages are built from, and the address of the site.

    Raises
    ------
    ValueError: one of them is not what its name says.
    """

    repository: str
    ref: str
    url: str

    def __post_init__(self) -> None:
        if not REPOSITORY.fullmatch(self.repository):
            raise ValueError(f"BOOK_REPOSITORY must be owner/name, got {self.repository!r}")
        if not REF.fullmatch(self.ref):
            raise ValueError(f"BOOK_REF must be a commit, tag or branch, got {self.ref!r}")
        parts = urlsplit(self.url)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.username
        if wrong or parts.query or parts.fragment or not re.fullmatch(r"[!-~]+/", self.url):
            raise ValueError(
                f"BOOK_URL must be an http(s) address that ends with a slash, got {self.url!r}"
            )

    @property
    def package(self) -> str:
        """Where pip finds the companion of exactly these pages."""
        return f"https://github.com/{self.repository}/archive/{self.ref}.zip"


def published(setting: Mapping[str, str] | None = None) -> Published | None:
    """Return where the book is published, or None where nothing says so.

    Parameters
    ----------
    setting: in place of the environment.

    Raises
    ------
    ValueError: a variable is set to something else than its name says, or without the repository.
    """
    found = os.environ if setting is None else setting
    repository, ref, url = (
        found.get(name, "").strip() for name in ("BOOK_REPOSITORY", "BOOK_REF", "BOOK_URL")
    )
    if not repository:
        if ref or url:
            raise ValueError("BOOK_REF and BOOK_URL say nothing without BOOK_REPOSITORY")
        return None
    owner, _, name = repository.partition("/")
    host = f"{owner.lower()}.github.io"
    pages = f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"
    return Published(repository, ref, url.rstrip("/") + "/" if url else pages)


def _file(path: str) -> str:
    """Return the path of a file of the repository, as part of an address."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        raise ValueError(f"path must name a file of the repository from its root, got {path!r}")
    return quote("/".join(parts))


def colab_url(path: str) -> str | None:
    """Return the address at which Colab opens a notebook, such as ``book/02_idea.ipynb``."""
    place, file = published(), _file(path)
    if place is None:
        return None
    host = "https://colab.research.google.com"
    return f"{host}/github/{place.repository}/blob/{NOTEBOOKS_BRANCH}/{file}"


def binder_url(path: str) -> str | None:
    """Return the address at which Binder opens a notebook, in the environment of the ref."""
    place, file = published(), _file(path)
    if place is None:
        return None
    ref, shown = quote(place.ref, safe=""), quote(f"lab/tree/{file}", safe="")
    return f"https://mybinder.org/v2/gh/{place.repository}/{ref}?urlpath={shown}"


def source_url(path: str) -> str | None:
    """Return the address of a file of the repository, as it was when the pages were built."""
    place, file = published(), _file(path)
    return place and f"https://github.com/{place.repository}/blob/{quote(place.ref)}/{file}"


def with_address(notebook: str, package: str) -> str:
    """Return a notebook's text with the package's address in its first code cell, all else alike.

    Raises
    ------
    ValueError: there is no such cell, or the address cannot stand in one.
    """
    if not re.fullmatch(r"[!#-\[\]-~]*", package):
        raise ValueError(f"package must be an address, got {package!r}")
    filled, count = ADDRESS.subn(lambda found: f"{found[1]}{package}{found[2]}", notebook)
    if count != 1:
        raise ValueError(f"a notebook must have one line PACKAGE = ..., found {count}")
    return filled
