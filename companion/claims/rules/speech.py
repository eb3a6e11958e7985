"""The article's section 6: speech."""
