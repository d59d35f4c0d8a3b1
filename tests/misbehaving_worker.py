"""Everything that can go wrong in a worker, run as `python -m misbehaving_worker`, on request."""

from __future__ import annotations

import json
import os
import signal
import sys

from watcher.worker import JobFailedError, run_worker


def work(request: bytes) -> bytes:
    match request:
        case b"hang":
            signal.pause()
        case b"hang in a computation":
            return b"%d" % sum(range(10**12))
        case b"talk on":
            return b"x" * 10**7
        case b"eat memory":
            return b"%d" % len(bytearray(2**33))
        case b"die":
            os.kill(os.getpid(), signal.SIGSEGV)
        case b"raise":
            raise ZeroDivisionError
        case b"refuse":
            raise JobFailedError("not today")
        case b"environment":
            return json.dumps(dict(os.environ)).encode()
    return request[::-1]


if __name__ == "__main__":
    sys.exit(run_worker(work, sys.argv[1:]))
