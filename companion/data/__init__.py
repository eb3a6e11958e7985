"""Real data that ships inside a dependency: nothing to download, nothing made up."""

from companion.data.mnist import Dataset, mnist

__all__ = ["Dataset", "mnist"]
