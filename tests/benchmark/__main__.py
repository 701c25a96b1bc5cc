"""This project measured beside others: `python -m tests.benchmark [--quick] [ROW]...`.

Without arguments all rows run, in less than 25 minutes, and docs/benchmark.md is written anew.
`--quick` tries every row with few numbers: its figures mean nothing.
"""

import signal
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from tests.benchmark.measuring import QUICK, at_end, broker
from tests.benchmark.outcome import Runs, report
from tests.benchmark.rows import ROWS
from tests.support import reaper
from tests.support.process import PROJECT

# These mostly wait, so they run at the same time.
QUIET = ("tiles", "pace", "real")


def main(*chosen: str) -> None:
    """Run the rows, print their outcomes, and write them to docs/ if all have run in full."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    names = [name for name in ROWS if name in chosen or not chosen]
    if unknown := set(chosen) - set(names):
        sys.exit(f"No such row: {', '.join(unknown)}. There are {', '.join(ROWS)}.")
    begin = time.monotonic()
    with at_end:
        if reaping := reaper.start():
            at_end.callback(reaping.communicate)
        results = run(names)
    text = report(ROWS, results, (time.monotonic() - begin) / 60)
    print(text)
    if not chosen and not QUICK:
        (PROJECT / "docs" / "benchmark.md").write_text(text)
    sys.exit(not all(results.values()))


def run(names: list[str]) -> dict[str, Runs | None]:
    """The figures of each row, in the order of the names."""
    results: dict[str, Runs | None] = {}
    for quiet, group in groupby(names, QUIET.__contains__):
        rows = list(group)
        if quiet:
            broker()  # before several threads ask for it
            with ThreadPoolExecutor() as pool:
                results |= zip(rows, pool.map(measured, rows), strict=True)
        else:
            results |= zip(rows, map(measured, rows), strict=True)
    return results


def measured(name: str) -> Runs | None:
    """The figures of a row; None, and the reason on standard error, where it fails."""
    begin = time.monotonic()
    try:
        return ROWS[name].measure()
    except Exception:
        traceback.print_exc()
        return None
    finally:
        print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(*(word for word in sys.argv[1:] if word != "--quick"))
