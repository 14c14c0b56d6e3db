"""What is measured inside a process, without a network: ``python -m benchmarks.inprocess NAME``.

``view``: a plain Django view that does the read of the ``orm`` handler, called directly.
``big``: how long one large message keeps the event loop.
"""

import argparse
import gc
import json
import statistics
import sys
from collections.abc import Callable
from time import process_time

CHUNK = 65_536
"""Bytes that the server reads at once."""

MESSAGE_SIZE = 900_000
PAYLOAD = "x" * 64


def _cpu_us_per_call(call: Callable[[], object], times: int, rounds: int = 5) -> float:
    """Return the median over some rounds of the CPU time of a call in µs."""
    found = []
    for _ in range(rounds):
        start = process_time()
        for _ in range(times):
            call()
        found.append((process_time() - start) * 1e6 / times)
    return statistics.median(found)


def measure_view(*, smoke: bool) -> dict[str, float]:
    """Time the view as a function, with what Django does around a request, and in all of Django."""
    import django

    django.setup()
    from django.core.handlers.wsgi import WSGIHandler
    from django.core.signals import request_finished, request_started
    from django.test import RequestFactory

    from benchmarks.project import views

    body = json.dumps({"action": "orm", "data": PAYLOAD})
    requests = RequestFactory()
    request = requests.post("/entry/", body, content_type="application/json")
    request.body  # noqa: B018 - read now, as a handler's message is
    handler = WSGIHandler()

    def within_signals() -> None:
        request_started.send(views.entry)
        views.entry(request)
        request_finished.send(views.entry)

    def through_django() -> None:
        fresh = requests.post("/entry/", body, content_type="application/json")
        request_started.send(views.entry)
        assert handler.get_response(fresh).status_code == 200
        request_finished.send(views.entry)

    times = 20 if smoke else 500
    views.entry(request)
    gc.freeze()
    return {
        "cpu_us_per_op": _cpu_us_per_call(lambda: views.entry(request), times),
        "signals_us_per_op": _cpu_us_per_call(within_signals, times),
        "stack_us_per_op": _cpu_us_per_call(through_django, times),
    }


def measure_big(*, smoke: bool) -> dict[str, float]:
    """Feed a masked text frame of 900 kB to the parser as the server does, in its chunks."""
    from socketio_server.protocol.websocket.parser import Parser

    head, end = '42["message","', '"]'
    text = head + "é" * ((MESSAGE_SIZE - len(head + end)) // 2) + end
    data, mask = text.encode(), b"\x5a\xc3\x17\x9e"
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
    frame = b"\x81\xff" + len(data).to_bytes(8) + mask + masked
    chunks = [frame[i : i + CHUNK] for i in range(0, len(frame), CHUNK)]
    wholes, worsts = [], []
    for _ in range(3 if smoke else 50):
        parser = Parser(max_message_size=1_000_000)
        spent = []
        message = None
        for chunk in chunks:
            start = process_time()
            parser.receive_data(chunk)
            message = parser.next_event()
            spent.append(process_time() - start)
        assert message == text
        wholes.append(sum(spent) * 1e3)
        worsts.append(max(spent) * 1e3)
    return {
        "bytes": len(data),
        "blocked_ms": statistics.median(wholes),
        "worst_chunk_ms": statistics.median(worsts),
    }


MEASUREMENTS = {"view": measure_view, "big": measure_big}


def main() -> None:
    """Measure one of them, and print what came of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=MEASUREMENTS)
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    sys.stdout.write(json.dumps(MEASUREMENTS[given.name](smoke=given.smoke)) + "\n")


if __name__ == "__main__":
    main()
