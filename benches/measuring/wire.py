"""A proxy in front of Postgres that records the statements of a request with their parameters.

The limit is measured with the recorded statements, so there is no copy of them to keep up to date.
"""

import datetime
import socket
import struct
import threading
import uuid

# The code of an "SSLRequest", which a client may send before its startup message. This Postgres has no TLS.
WANTS_TLS = 80877103

POSTGRES_EPOCH = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)

# Types of parameters by OID (Postgres, "pg_type.dat"): the name and the binary format.
TYPES = {
    16: ("boolean", lambda raw: raw != b"\0"),
    17: ("bytea", lambda raw: raw),
    20: ("bigint", lambda raw: struct.unpack("!q", raw)[0]),
    25: ("text", lambda raw: raw.decode()),
    701: ("double precision", lambda raw: struct.unpack("!d", raw)[0]),
    1184: ("timestamptz", lambda raw: POSTGRES_EPOCH + datetime.timedelta(microseconds=struct.unpack("!q", raw)[0])),
    2950: ("uuid", lambda raw: uuid.UUID(bytes=raw)),
}


class Wire:
    """Listens on a free port and forwards to Postgres. `heard` is a list of (statement, [(type, value)])."""

    def __init__(self, postgres_port):
        self.heard = []
        self._target = postgres_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def take(self):
        """The statements recorded since the last call."""
        heard, self.heard = self.heard, []
        return heard

    def _accept(self):
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=forward, args=(server, client), daemon=True).start()
            threading.Thread(target=self._listen, args=(client, server), daemon=True).start()

    def _listen(self, client, server):
        """Postgres' manual, "Message Formats": a type byte and a length, except in the first messages."""
        parsed = {}
        try:
            while True:
                length, code = struct.unpack("!ii", read(client, 8))
                server.sendall(struct.pack("!ii", length, code) + read(client, length - 8))
                if code != WANTS_TLS:
                    break
            while True:
                head = read(client, 5)
                body = read(client, struct.unpack("!i", head[1:])[0] - 4)
                if head[:1] == b"P":
                    name, sql, rest = body.split(b"\0", 2)
                    count = struct.unpack("!h", rest[:2])[0]
                    parsed[name] = (sql.decode(), struct.unpack(f"!{count}I", rest[2 : 2 + 4 * count]))
                elif head[:1] == b"B":
                    self._bound(parsed, body)
                server.sendall(head + body)
        except (ConnectionError, OSError):
            server.close()

    def _bound(self, parsed, body):
        _, name, rest = body.split(b"\0", 2)
        sql, types = parsed[name]
        (formats,) = struct.unpack("!h", rest[:2])
        rest = rest[2 + 2 * formats + 2 :]
        values = []
        for oid in types:
            (length,) = struct.unpack("!i", rest[:4])
            raw, rest = (None, rest[4:]) if length < 0 else (rest[4 : 4 + length], rest[4 + length :])
            kind, read_value = TYPES[oid]
            values.append((kind, None if raw is None else read_value(raw)))
        self.heard.append((sql, values))


def forward(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    target.close()


def read(connection, length):
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data
