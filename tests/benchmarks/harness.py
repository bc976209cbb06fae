"""Time requests against each other, without sockets.

All cells of a group are timed in one process, in turn, in a new random order each round, in batches of a few
milliseconds. So a disturbance hits all of them. It does not hit all of them equally. That is why only the quickest
third of the rounds counts, as measured by the cells of the peers. The garbage collector is off during a batch and runs
between rounds. The clock is the thread's processor time, so time that other programs take is not counted.

A ratio is the median of the rounds' ratios. What slows down a whole round cancels out, and what hits one batch is one
outlier, which a median ignores. What a layer adds is the median of the rounds' differences, for the same reason.

The measuring loop (a copy of the environ, reading the body, ``close()``) is part of every figure, also of the constant
answer's.
"""

from __future__ import annotations

import gc
import marshal
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import cycle, islice
from statistics import median
from time import thread_time
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from traffic import Environ

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# Runs this many requests, and returns how many seconds they took.
Batch: TypeAlias = Callable[[int], float]

# A row and a column of a table: the app and the kind of request.
Cell: TypeAlias = tuple[str, str]

# Seconds per request, one for each round.
Times: TypeAlias = dict[Cell, list[float]]

# How many requests are prepared at a time. They fit in the processor's caches, and reading the clock costs little.
_AT_A_TIME = 64


class Plan(NamedTuple):
    """How much is measured. A quick run only shows that everything works."""

    quick: bool = False
    batch_seconds: float = 0.003

    def size(self, number: int) -> int:
        """Return *number*, or about a hundredth of it in a quick run."""
        return max(number // 100, min(number, 10)) if self.quick else number

    def times(self, number: int) -> int:
        """Return *number*, or 1 in a quick run."""
        return 1 if self.quick else number


# ---------------------------------------------------------------------------------------
# Batches
# ---------------------------------------------------------------------------------------


def start_response(
    status: str, headers: list[tuple[str, str]], exc_info: object = None, /
) -> Callable[[bytes], object]:
    return _write_body


def _write_body(data: bytes, /) -> object:
    raise RuntimeError("no app here uses write()")


def drive(app: WSGIApplication, environs: Iterable[Environ]) -> float:
    """Send *environs* to *app* as a server does. Return how many seconds it took."""
    begun = thread_time()
    for environ in environs:
        body = app(environ.copy(), start_response)
        for _ in body:
            pass
        close = getattr(body, "close", None)
        if close is not None:
            close()
    return thread_time() - begun


def requests(app: WSGIApplication, environ: Environ, **varied: Iterable[str]) -> Batch:
    """Send copies of *environ* whose strings are new objects each time, as a server makes them.

    The keys in *varied* take their values in turn, endlessly. The copies are prepared while the clock is stopped.
    """
    environs = _renewed(environ, varied)

    def batch(count: int) -> float:
        seconds = 0.0
        for done in range(0, count, _AT_A_TIME):
            chunk = list(islice(environs, min(_AT_A_TIME, count - done)))
            for prepared in chunk:
                prepared.copy()  # brings it back into the processor's caches after long strings drove it out
            seconds += drive(app, chunk)
        return seconds

    return batch


def _renewed(environ: Environ, varied: Mapping[str, Iterable[str]]) -> Iterator[Environ]:
    texts = {key: value for key, value in environ.items() if isinstance(value, str) and key not in varied}
    headers = {key: value for key, value in texts.items() if key.startswith("HTTP_")}
    names = texts.keys() - headers.keys()  # a server has these names already
    others = {key: value for key, value in environ.items() if key not in texts and key not in varied}
    written = marshal.dumps((headers, [texts[name] for name in names]), 0)  # version 0 does not share strings
    series = [cycle([marshal.dumps({key: value}, 0) for value in values]) for key, values in varied.items()]
    while True:
        new_headers, new_values = marshal.loads(written)
        copy = others | dict(zip(names, new_values, strict=True)) | new_headers
        for values in series:
            copy |= marshal.loads(next(values))
        yield copy


# ---------------------------------------------------------------------------------------
# Rounds
# ---------------------------------------------------------------------------------------


def measure(batches: Mapping[Cell, Batch], rounds: int, plan: Plan) -> Times:
    """Time all *batches* in turn."""
    times: Times = {cell: [] for cell in batches}
    counts = {cell: _calibrate(batch, plan) for cell, batch in batches.items()}
    cells = list(batches)
    gc.collect()
    gc.freeze()  # otherwise each collection visits 100,000 origins again
    gc.disable()
    try:
        for _ in range(rounds):
            random.shuffle(cells)
            for cell in cells:
                times[cell].append(batches[cell](counts[cell]) / counts[cell])
            gc.collect()
    finally:
        gc.enable()
        gc.unfreeze()
    return times


def _calibrate(batch: Batch, plan: Plan) -> int:
    """Return how many requests make a batch. The time to prepare them counts here."""
    batch(1)  # what is done only once is done now
    if plan.quick:
        return 1
    count, seconds = 1, _whole(batch, 1)
    while seconds < plan.batch_seconds / 4:
        count *= 2
        seconds = _whole(batch, count)
    return max(1, round(plan.batch_seconds * count / min(seconds, _whole(batch, count), _whole(batch, count))))


def _whole(batch: Batch, count: int) -> float:
    begun = thread_time()
    batch(count)
    return thread_time() - begun


# ---------------------------------------------------------------------------------------
# What the times say
# ---------------------------------------------------------------------------------------


def pool(parts: Iterable[Times]) -> Times:
    """Join the rounds of a group that were measured in several processes."""
    whole: Times = {}
    for part in parts:
        for cell, seconds in part.items():
            whole.setdefault(cell, []).extend(seconds)
    return whole


def quickest(times: Times, peers: Iterable[Cell]) -> Times:
    """Keep the third of the rounds in which the *peers* were quickest."""
    slowness = [[second / median(times[peer]) for second in times[peer]] for peer in peers]
    by_round = [median(each) for each in zip(*slowness, strict=True)]
    ranked = sorted(range(len(by_round)), key=by_round.__getitem__)
    counted = ranked[: (len(ranked) + 2) // 3]
    return {cell: [seconds[number] for number in counted] for cell, seconds in times.items()}


def ratio(times: Times, one: Cell, other: Cell) -> float:
    """Return how many times as long *one* takes as *other*."""
    return median(a / b for a, b in zip(times[one], times[other], strict=True))


def added(times: Times, one: Cell, other: Cell) -> float:
    """Return how many seconds longer *one* takes than *other*."""
    return median(a - b for a, b in zip(times[one], times[other], strict=True))
