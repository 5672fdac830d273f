"""Bodies of bounded length."""

import aiohttp


async def capped(stream: aiohttp.StreamReader, cap: int) -> bytes:
    """Read a body to its end, or raise ValueError when it is too long."""
    body = bytearray()
    async for chunk in stream.iter_any():
        body += chunk
        if len(body) > cap:
            raise ValueError(f"the answer is longer than {cap} bytes")
    return bytes(body)
