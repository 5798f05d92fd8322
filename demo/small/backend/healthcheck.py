"""Exit 0 when /up answers 200. A bare socket, because importing an HTTP client takes longer than the answer."""

import socket
import sys

with socket.create_connection(("127.0.0.1", 8000), timeout=2) as connection:
    connection.sendall(b"GET /up HTTP/1.0\r\n\r\n")
    status = connection.recv(64)
print(status.decode(errors="replace").splitlines()[0])  # noqa: T201
sys.exit(b" 200 " not in status)
