"""The few Google HTTP calls we make ourselves: one transport, IAM Credentials, the metadata server, a proof."""
