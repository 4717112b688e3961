"""A program that accepts whatever it is asked, as STS, IAM Credentials and the metadata server, after a delay.

The emulator would need thousands of accounts, and checks what is not measured here. Run it with the delay in
milliseconds; it prints its port.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_ACCOUNT = "worker@my-project.iam.gserviceaccount.com"
_METADATA = {
    "token": {"access_token": "ya29.source", "expires_in": 3600, "token_type": "Bearer"},
    "?recursive": {
        "email": _ACCOUNT,
        "aliases": ["default"],
        "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
    },
}
_MINTED = {
    "access_token": "ya29.federated",
    "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "token_type": "Bearer",
    "expires_in": 3600,
    "accessToken": "ya29.minted",
    "expireTime": "2100-01-01T00:00:00Z",
}


class Google(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    delay = 0.0

    def do_GET(self) -> None:
        """Answer as the metadata server."""
        time.sleep(self.delay)
        path = self.path.partition("scopes=")[0].rstrip("?&")
        found = next((value for end, value in _METADATA.items() if end in path), None)
        if found is not None:
            self._answer(json.dumps(found).encode(), "application/json")
        else:
            known = {"universe-domain": "googleapis.com", "email": _ACCOUNT, "project-id": "my-project"}
            self._answer(known.get(path.rpartition("/")[2], "computeMetadata/").encode(), "application/text")

    def do_POST(self) -> None:
        """Answer as STS and as IAM Credentials."""
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.delay)
        self._answer(json.dumps(_MINTED).encode(), "application/json")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Server(ThreadingHTTPServer):
    """Serves many connections at a time."""

    request_queue_size = 512
    daemon_threads = True


def main() -> None:
    """Serve until the process is ended."""
    Google.delay = float(sys.argv[1]) / 1000
    server = Server(("127.0.0.1", 0), Google)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
