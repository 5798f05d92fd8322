"""Exit 0 when /up answers 200. A bare socket, because importing an HTTP client takes longer than the answer."""

import socket
import sys

with socket.create_connection(("127.0.0.1", 8000), timeout=2) as connection:
    connection.sendall(b"GET /up HTTP/1.0\r\n\r\n")
    answer = b"".join(iter(lambda: connection.recv(4096), b""))
status = answer.partition(b"\r\n")[0]
print(answer.decode(errors="replace").splitlines()[-1])  # noqa: T201
sys.exit(b" 200 " not in status)
