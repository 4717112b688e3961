"""Credentials directories on disk: walked without following links, replaced atomically, read back, retired."""
