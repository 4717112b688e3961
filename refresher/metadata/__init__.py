"""The metadata endpoint of a target: it answers inside a container's network namespace as Compute Engine does."""
