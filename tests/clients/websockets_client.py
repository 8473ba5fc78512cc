"""Usage: websockets_client.py URL USER FRIEND [CERTIFICATE]: the scenario of scenario.js, with python3-websockets."""

import asyncio
import json
import ssl
import sys

import websockets


def say(what):
    print(json.dumps(what), flush=True)


async def main(url, user, friend, cafile=None):
    context = ssl.create_default_context(cafile=cafile) if url.startswith("wss:") else None
    async with websockets.connect(url, subprotocols=["presence.v1"], ssl=context) as socket:
        say({"open": socket.subprotocol})
        await socket.send(json.dumps({"type": "hello", "v": 1, "user": user, "device": "tab"}))
        async for text in socket:
            for line in text.split("\n"):
                message = json.loads(line) if line else {"type": "heartbeat"}
                say(message)
                if message["type"] == "welcome":
                    await socket.send(json.dumps({"type": "watch", "id": 1, "users": [friend]}))
                elif message["type"] == "presence":
                    await socket.send('{"type":"bye"}' if message["state"] == "offline" else "")
        say({"closed": socket.close_code})


asyncio.run(main(*sys.argv[1:]))
