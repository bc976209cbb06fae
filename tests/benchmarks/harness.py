"""Time requests against each other, without sockets.

All cells of a group are timed in one process and in turn, in a new random order in each round, in batches of some
milliseconds; so whatever the machine does meanwhile hits all of them. It does not hit all of them alike, so of all
rounds only the quickest third counts, as those cells tell it that are not ours. The garbage collector is off while a
batch runs, and collects between rounds. The clock is the thread's processor time: nothing here waits, and what other
programs take is not counted.

A ratio is the median of the rounds' ratios, not the ratio of two medians: what slows a whole round down is the same
above and below the line and cancels out, and what hits one batch alone makes one outlier, which a median ignores. What
a layer adds is the median of the rounds' differences, for the same reason. Times are compared only within one group.

The measuring loop (a copy of the environ, reading the body, ``close()``) is part of every figure, also of the constant
answer's.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import cycle, islice, repeat
from statistics import median
from time import thread_time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Environ: TypeAlias = dict[str, Any]
ASGIApp: TypeAlias = Callable[..., Any]

# Runs so many requests, and tells how many seconds they took
Batch: TypeAlias = Callable[[int], float]

# Seconds per request, by the round
Times: TypeAlias = dict[str, dict[int, float]]

# Those made anew at a time: few enough for the processor's caches, enough that reading the clock costs nothing
_AT_A_TIME = 64

# A cell whose single requests take longer than a batch is timed in fewer rounds: as many as take about so long, and 3
_SLOW_SECONDS = 0.5


class Plan(NamedTuple):
    """How much is measured. A quick run only shows that everything works."""

    rounds: int = 96
    batch_seconds: float = 0.003
    only: str = ""
    quick: bool = False

    def size(self, number: int) -> int:
        """*number* in a real run, and a hundredth of it in a quick one."""
        return max(number // 100, min(number, 10)) if self.quick else number


# ---------------------------------------------------------------------------------------
# Batches
# ---------------------------------------------------------------------------------------


def start_response(
    status: str, headers: list[tuple[str, str]], exc_info: object = None, /
) -> Callable[[bytes], object]:
    return _write


def _write(data: bytes, /) -> object:
    raise RuntimeError("nothing here uses write()")


def _drive(app: WSGIApplication, environs: Iterable[Environ]) -> float:
    begun = thread_time()
    for environ in environs:
        body = app(environ.copy(), start_response)
        for _ in body:
            pass
        close = getattr(body, "close", None)
        if close is not None:
            close()
    return thread_time() - begun


def same(app: WSGIApplication, environ: Environ) -> Batch:
    """The same request again and again; its strings are the same objects each time."""
    return lambda count: _drive(app, repeat(environ, count))


def in_turn(batches: Iterable[Batch]) -> Batch:
    """Another one of *batches* each time."""
    made = list(batches)
    for batch in made:
        batch(1)  # whatever is done only once is done now
    series = cycle(made)
    return lambda count: next(series)(count)


def fresh(
    app: WSGIApplication,
    environs: Iterator[Environ],
    before: Callable[[int], object] = lambda number: None,
    at_a_time: int = _AT_A_TIME,
) -> Batch:
    """The requests of *environs*, whose strings are new objects each time, as a server makes them.

    So many *at a time* are made, and *before* is called with their number, while the clock stands; but then they are at
    hand, as what a server has just read is.
    """

    def batch(count: int) -> float:
        seconds = 0.0
        for done in range(0, count, at_a_time):
            number = min(at_a_time, count - done)
            before(number)
            chunk = list(islice(environs, number))
            for environ in chunk:
                environ.copy()  # so that what long strings have driven out is in the processor's caches again
            seconds += _drive(app, chunk)
        return seconds

    return batch


def renewed(environ: Environ, **varied: Iterable[str]) -> Iterator[Environ]:
    """Copies of *environ* without end, in new strings; those of *varied* take their values in turn, for ever."""
    constant = [(key, value, key.startswith("HTTP_")) for key, value in environ.items() if key not in varied]
    values = {key: cycle(series) for key, series in varied.items()}
    while True:
        copy = {_anew(key) if is_header else key: _anew(value) for key, value, is_header in constant}
        copy.update({_anew(key): _anew(next(series)) for key, series in values.items()})
        yield copy


def _anew(value: Any) -> Any:
    return value.encode("latin-1").decode("latin-1") if isinstance(value, str) else value


def same_asgi(app: ASGIApp, scopes: Iterable[Environ]) -> Batch:
    """The same for an ASGI app. It never has to wait for anything, so it needs no event loop."""
    series = cycle(scopes)

    async def receive() -> object:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: object) -> None:
        pass

    def batch(count: int) -> float:
        begun = thread_time()
        for scope in islice(series, count):
            try:
                app(scope.copy(), receive, send).send(None)
            except StopIteration:
                continue
            raise RuntimeError("the app waits for something")
        return thread_time() - begun

    return batch


# ---------------------------------------------------------------------------------------
# Rounds
# ---------------------------------------------------------------------------------------


def measure(batches: Mapping[str, Batch], plan: Plan) -> Times:
    """Time all *batches* in turn. The names stay, also as keys of what is returned."""
    times: Times = {name: {} for name in batches}
    counts = {name: _calibrate(batch, plan) for name, batch in batches.items()}
    names = list(batches)
    gc.collect()
    gc.freeze()  # else each collection walks through 100,000 routes again
    gc.disable()
    try:
        for number in range(plan.rounds):
            random.shuffle(names)
            for name in names:
                count, rounds = counts[name]
                if number < rounds:
                    times[name][number] = batches[name](count) / count
            gc.collect()
    finally:
        gc.enable()
        gc.unfreeze()
    return times


def _calibrate(batch: Batch, plan: Plan) -> tuple[int, int]:
    """How many requests make a batch, and in how many rounds; what `fresh` prepares counts here."""
    batch(1)  # whatever is done only once is done now
    if plan.quick:
        return 1, plan.rounds
    count, seconds = 1, _whole(batch, 1)
    while seconds < plan.batch_seconds / 4:
        count *= 2
        seconds = _whole(batch, count)
    one = min(seconds, _whole(batch, count), _whole(batch, count)) / count  # equal contenders need equal batches
    rounds = plan.rounds if one < plan.batch_seconds else max(3, round(_SLOW_SECONDS / one))
    return max(1, round(plan.batch_seconds / one)), min(plan.rounds, rounds)


def _whole(batch: Batch, count: int) -> float:
    begun = thread_time()
    batch(count)
    return thread_time() - begun


# ---------------------------------------------------------------------------------------
# What the times say
# ---------------------------------------------------------------------------------------


def pool(parts: Iterable[Times]) -> Times:
    """The rounds of a group in several processes, as if they were those of one."""
    whole: Times = {}
    first = 0
    for part in parts:
        for name, seconds in part.items():
            whole.setdefault(name, {}).update({first + number: each for number, each in seconds.items()})
        first += max((len(seconds) for seconds in part.values()), default=0)
    return whole


def quickest(times: Times, judges: Iterable[str]) -> Times:
    """The third of a group's rounds in which the machine was quickest, by what the cells of *judges* took."""
    slowness: dict[int, list[float]] = {}
    for name in judges:
        usual = median(times[name].values())
        for number, seconds in times[name].items():
            slowness.setdefault(number, []).append(seconds / usual)
    ranked = sorted(slowness, key=lambda number: median(slowness[number]))
    counted = ranked[: (len(ranked) + 2) // 3]
    return {
        # of a cell that is timed in a few rounds only, there may be none among these
        name: {number: seconds[number] for number in counted if number in seconds} or seconds
        for name, seconds in times.items()
    }


def ratio(times: Times, one: str, other: str) -> float:
    """How many times as long *one* takes as *other*."""
    return median(a / b for a, b in _in_same_rounds(times[one], times[other]))


def added(times: Times, one: str, other: str) -> float:
    """How many seconds longer *one* takes than *other*."""
    return median(a - b for a, b in _in_same_rounds(times[one], times[other]))


def _in_same_rounds(one: dict[int, float], other: dict[int, float]) -> list[tuple[float, float]]:
    both = [(seconds, other[number]) for number, seconds in one.items() if number in other]
    return both or [(median(one.values()), median(other.values()))]
