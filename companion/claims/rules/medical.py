"""The article's section 6: medical images."""
