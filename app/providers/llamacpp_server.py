"""The child process that runs llama.cpp, `python -P llamacpp_server.py`. Started by `engines`, imports nothing of ours.

Reads one line of JSON from its input, loads the model, writes one line with its address, and serves OpenAI's protocol
on loopback until its input ends. The input carries the key, because arguments can be read by everybody on the machine.
"""

import ctypes
import importlib
import json
import os
import signal
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1
PROMPT_CACHE_MIB = 512
LOG_SECONDS = 0.3


def main() -> None:
    """Serve until the parent goes, however it goes."""
    orders = json.loads(sys.stdin.buffer.readline())
    die_with_parent(orders["parent"])
    try:
        server = start(orders)
    except RuntimeError as error:
        time.sleep(LOG_SECONDS)  # a thread of llama.cpp's writes its log: what it says of this would be cut off
        sys.exit(f"error: {error}")  # without a traceback: what is written here is shown on a page
    # llama.cpp catches these to end its loop, which would leave a process that serves nothing.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stdout.write(json.dumps({"address": server.listening_address}) + "\n")
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nobody reads the output from here on: it must not fill up
    sys.stdin.buffer.read()
    os._exit(0)


def die_with_parent(parent: int) -> None:
    """Linux kills this process when its parent dies; elsewhere the end of the input does, once the model is loaded."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(0)


def start(orders: dict[str, Any]) -> Any:
    """A running `xllamacpp.Server`. The library has no types, so this function is all that touches it."""
    xllamacpp = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = orders["model"]
    params.model_alias = {orders["alias"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [orders["key"]]
    params.n_parallel = orders["slots"]
    params.n_ctx = orders["context_tokens"] * orders["slots"]  # llama.cpp divides it among the slots
    if orders["threads"] is not None:
        params.cpuparams.n_threads = orders["threads"]
    if orders["gpu_layers"] is not None:
        params.n_gpu_layers = orders["gpu_layers"]
    params.ctx_shift = False
    params.kv_unified = False
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.ui = False
    params.endpoint_slots = False
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
