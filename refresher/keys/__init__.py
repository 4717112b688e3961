"""Signing keys of `self_issued` suppliers on disk: the registry that anybody may read, and the keys themselves."""
