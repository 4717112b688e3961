"""Signing keys of `self_issued` suppliers on disk: the registry, which needs no cryptography to read, and the keys."""
