"""The whole chain from the configuration to a client in a container, checked link by link, in the catalogue's words."""
