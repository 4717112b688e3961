"""The few HTTP calls that we make: one transport, one `Call`, STS, IAM Credentials, KMS, the metadata server."""
