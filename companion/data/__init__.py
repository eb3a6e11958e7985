"""Real data that ships inside a dependency: nothing to download, nothing made up."""

from companion.data.mnist import Dataset, halved, mnist

__all__ = ["Dataset", "halved", "mnist"]
