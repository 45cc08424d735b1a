"""The least that can answer HTTP: a constant, without reading what was asked. It shows what the load itself costs."""

import asyncio
import sys
from typing import cast

import uvloop

ANSWER = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 17\r\n\r\n{"received":true}'


class Bare(asyncio.Protocol):
    """Answers whatever ends in a blank line, or in the brace that closes an event."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if data.endswith((b"}", b"\r\n\r\n")):
            self.transport.write(ANSWER)


async def serve(port: int) -> None:
    """Answer on 127.0.0.1:`port` until stopped."""
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
