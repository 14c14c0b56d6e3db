"""Runs ``channels_app``, beside it: PORT daphne|uvicorn."""

import sys

PORT, KIND = sys.argv[1:]

if __name__ == "__main__":
    if KIND == "daphne":
        from daphne.cli import CommandLineInterface

        listen = ["-b", "127.0.0.1", "-p", PORT, "-v", "0"]
        sys.argv = ["daphne", *listen, "channels_app:application"]
        CommandLineInterface.entrypoint()
    else:
        import uvicorn

        uvicorn.run(
            "channels_app:application",
            host="127.0.0.1",
            port=int(PORT),
            loop="asyncio",
            log_level="warning",
            access_log=False,
            backlog=4096,
            lifespan="off",
            ws_per_message_deflate=False,
        )
