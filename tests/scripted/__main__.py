"""The scripted server as a process of its own: `python -m tests.scripted --port 0 --rate 50 --tokens 200`.

Prints its address on one line, then answers every question with `tokens` words at `rate` a second, in every dialect.
With `--stamp` each word says when it was written. With `--flap 0.3` it answers for 0.3 s, then refuses new questions for
as long (those of OpenAI's dialect, with a 503), and so on; what it is saying it says to its end. With `--echo` it says
again what it is told.
"""

import argparse
import asyncio
import contextlib
import itertools
import signal

from tests.scripted.dialects import OPENAI, SPOKEN
from tests.scripted.server import DEFAULT_WORDS, ScriptedServer
from tests.scripted.stamps import stamped_answer
from tests.scripted.steps import whole

BROKEN = whole(b'{"error":{"message":"out of oil"}}', 503)


async def serve(
    port: int,
    rate: float,
    tokens: int,
    models: list[str],
    flap_seconds: float,
    *,
    is_stamped: bool,
    echoes: bool,
) -> None:
    words = tuple(itertools.islice(itertools.cycle(DEFAULT_WORDS), tokens))
    server = ScriptedServer(models)
    server.echoes = echoes
    for dialect in SPOKEN:
        server.defaults[dialect.kind] = (
            stamped_answer(dialect, tokens, rate)
            if is_stamped
            else dialect.answer(words, usage=(5, tokens), per_second=rate)
        )
    await server.start(port)
    print(server.url, flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while not stop.is_set():
        await _wait(stop, flap_seconds)
        server.answers[OPENAI.chat_path] = BROKEN
        await _wait(stop, flap_seconds)
        del server.answers[OPENAI.chat_path]
    await server.close()


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds or None):
            await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.scripted", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rate", type=float, default=50.0, help="tokens a second")
    parser.add_argument("--tokens", type=int, default=200, help="tokens an answer")
    parser.add_argument("--model", action="append", default=[], help="a name to list; may be given again")
    parser.add_argument("--flap", type=float, default=0.0, help="seconds up, and seconds down")
    parser.add_argument("--echo", action="store_true", help="say again what was said")
    parser.add_argument("--stamp", action="store_true", help="words say when they were written")
    args = parser.parse_args()
    models = args.model or ["scripted"]
    asyncio.run(serve(args.port, args.rate, args.tokens, models, args.flap, is_stamped=args.stamp, echoes=args.echo))


if __name__ == "__main__":
    main()
