"""One function per link: each judges the facts of a target, purely, and returns one finding."""
