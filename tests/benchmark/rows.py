"""The rows of the benchmark: what is started, what is measured, and the targets."""

import os
import shutil
from functools import partial

from tests.benchmark.measuring import BARE, CONFLUENT, CONSOLE, KCAT, OURS, QUICK, TUTORIAL
from tests.benchmark.outcome import (
    Column,
    Row,
    at_least,
    at_most,
    at_once,
    each,
    in_turn,
    median,
    more,
    pairs,
    percentile,
    ratio,
    size,
    total,
)
from tests.benchmark.reading import SCALE, backlog, bare_poll, together
from tests.benchmark.sending import (
    PACED,
    held_up,
    latency,
    ours_at_full_speed,
    own_rate,
    paced,
    tutorial_at_full_speed,
)
from tests.benchmark.starting import REST, one_after_the_other, servers_alone, tiles, tiles_at_rest
from tests.support.tmux import TRIO

# How much of everything: in full, and quickly.
BACKLOG = (500_000, 20_000)[QUICK]  # numbers that wait to be printed
GROWTH = ((10_000, 100_000, 1_000_000, 10_000_000), (2_000, 20_000))[QUICK]
CLOSE = (500, 50)[QUICK]  # numbers every 10 ms, ...
PAIRS = (9, 1)[QUICK]  # ... by each contender in turn, so many times
STARTS = (5, 1)[QUICK]
REAL = (40, 3)[QUICK]  # numbers every second

POLL = "kafka-python, bare poll()"
STOCK, ALONE = "stock options, one after the other", "both servers ready, nothing beside them"
HELD_UP = f"{OURS}, held up"

RATE, MEMORY, SECONDS = median("rate"), median("memory"), median("seconds")
P50, P99 = percentile("latency", 0.5), percentile("latency", 0.99)

READERS = [OURS, TUTORIAL, CONFLUENT, CONSOLE, *([KCAT] if shutil.which(KCAT) else [])]
PRINTED_TO = {"file": READERS, "pipe": [OURS, TUTORIAL], "terminal": [OURS, TUTORIAL]}
LATENCIES = [
    Column("p50, ms", P50),
    Column("p99, ms", P99),
    Column("max, ms", percentile("latency", 1)),
    Column("numbers", size("latency"), "{}"),
]


def to(kind: str, name: str = OURS) -> str:
    """A contender and what it prints to."""
    return f"{name}, to a {kind}"


def growing(count: int) -> str:
    """How much this project prints."""
    return f"{count:,} numbers"


TO_FILE, TO_TERMINAL = to("file", TUTORIAL), to("terminal", TUTORIAL)

ROWS = {
    "start": Row(
        "Start, all installed",
        "from `./launch_tmux.sh` to the first number in tile C, the first round on empty data."
        " Beside it the tutorials' loops, started after servers with the Java options of Kafka's"
        " own scripts, each when the last one answers; and our two servers alone.",
        in_turn({OURS: tiles, STOCK: one_after_the_other, ALONE: servers_alone}, STARTS),
        [Column("median, s", SECONDS, "{:.2f}"), Column("each round, s", each("seconds"), "{}")],
        [
            at_most(0.75, f"× {STOCK}", ratio(SECONDS, OURS, STOCK)),
            at_most(2, f"× {ALONE}", ratio(SECONDS, OURS, ALONE)),
        ],
    ),
    "tiles": Row(
        f"The tiles at their normal pace, {REST} s",
        "what the processes of each tile take while A sends a number every second and B every two.",
        tiles_at_rest,
        [Column("% of a core", median("core"), "{:.2f}"), Column("MB", MEMORY, "{:.0f}")],
        [
            at_most(2, "% of a core, the three", total(median("core"), *TRIO)),
            at_most(120, "MB, the three", total(MEMORY, *TRIO)),
            at_most(350, "MB, ZooKeeper and Kafka", total(MEMORY, "ZooKeeper", "Kafka")),
        ],
    ),
    "pace": Row(
        f"Pace of {PACED} numbers, acknowledged 100 ms late",
        "how late each number is, against a schedule of one every 0.1 s from the first,"
        " while Kafka's answers come 100 ms late. A loop that waits for each of them falls behind."
        " Both run at the same time.",
        paced,
        [
            Column("numbers", size("late"), "{}"),
            Column("p99, ms late", percentile("late", 0.99), "{:.0f}"),
            Column("last, ms late", median("last"), "{:.0f}"),
        ],
        [
            at_most(20, "ms late, the last number", total(median("last"), OURS)),
            at_most(10, "ms late, p99", total(percentile("late", 0.99), OURS)),
        ],
    ),
    "real": Row(
        "Latency at a number a second",
        "from `send()` to the line that can be read from the consumer's pipe, at producer A's own"
        " pace: each number travels alone. All run at the same time, too rarely to disturb each"
        " other.",
        at_once({name: partial(latency, name, 1, REAL) for name in (OURS, BARE, CONFLUENT)}),
        LATENCIES,
        [
            at_most(1.1, f"× {BARE}, at p50", ratio(P50, OURS, BARE)),
            at_most(1.1, f"× {BARE}, at p99", ratio(P99, OURS, BARE)),
        ],
    ),
    "close": Row(
        "Latency at a number every 10 ms",
        f"the same where numbers follow each other closely. Ratios are the median of {PAIRS} pairs"
        " of runs, with the interval that holds the true one with a probability of 96 %; where the"
        " target lies in it, it is undecided.",
        in_turn(
            {name: partial(latency, name, 0.01, CLOSE) for name in (OURS, BARE, CONFLUENT)},
            PAIRS,
            warm_up=True,  # until Java has compiled what it needs, some take ten times as long
        ),
        LATENCIES,
        [
            at_most(1.1, f"× {BARE}, at p50", pairs(P50, OURS, BARE)),
            at_most(1.1, f"× {BARE}, at p99", pairs(P99, OURS, BARE)),
        ],
    ),
    "backlog": Row(
        f"Backlog of {BACKLOG:,} numbers",
        "numbers that wait in one partition, printed from the first to the last, and committed by"
        " this project. A loop that only polls and counts is the limit of kafka-python.",
        in_turn(
            {POLL: partial(bare_poll, BACKLOG)}
            | {
                to(kind, name): partial(backlog, name, BACKLOG, kind)
                for kind, names in PRINTED_TO.items()
                for name in names
            }
        ),
        [
            Column("numbers/s", RATE, "{:,.0f}"),
            Column("× bare poll()", RATE, "{:.2f}", over=POLL),
            Column("whole time, s", SECONDS),
            Column("memory, MB", MEMORY, "{:.0f}"),
        ],
        [
            *(
                at_least(0.85, f"× bare poll(), to a {kind}", ratio(RATE, to(kind), POLL))
                for kind in PRINTED_TO
            ),
            at_least(1.3, f"× {TO_FILE}", ratio(RATE, to("file"), TO_FILE)),
            at_least(2, f"× {TO_TERMINAL}", ratio(RATE, to("terminal"), TO_TERMINAL)),
        ],
    ),
    "growth": Row(
        "Memory over the backlog",
        "peak memory while a backlog of each size is printed to a file, once.",
        in_turn({growing(count): partial(backlog, OURS, count) for count in GROWTH}, rounds=1),
        [Column("whole time, s", SECONDS), Column("memory, MB", MEMORY)],
        [
            at_most(
                20,
                f"MB more for {GROWTH[-1]:,} numbers than for {GROWTH[0]:,}",
                more(MEMORY, growing(GROWTH[-1]), growing(GROWTH[0])),
            )
        ],
    ),
    "speed": Row(
        "Full speed",
        "as many numbers as can be sent, each acknowledged; this project and the tutorials' loop"
        " print them, too. Held up: Kafka is paused for 3 s meanwhile.",
        in_turn(
            {
                OURS: ours_at_full_speed,
                BARE: partial(own_rate, "bare_sender"),
                HELD_UP: held_up,
                TUTORIAL: tutorial_at_full_speed,
                CONFLUENT: partial(own_rate, "confluent_sender"),
            }
        ),
        [
            Column("numbers/s", RATE, "{:,.0f}"),
            Column("× bare send()", RATE, "{:.2f}", over=BARE),
            Column("outstanding", median("outstanding"), "{:,.0f}"),
            Column("memory, MB", MEMORY, "{:.0f}"),
        ],
        [
            at_least(0.7, "× bare send()", ratio(RATE, OURS, BARE)),
            at_least(20, f"× {TUTORIAL}", ratio(RATE, OURS, TUTORIAL)),
            at_most(
                10_000,
                "outstanding numbers while Kafka is held up for 3 s",
                total(median("outstanding"), HELD_UP),
            ),
        ],
    ),
    "scale": Row(
        "Scale: eight keys in 8 partitions",
        f"a backlog of {SCALE:,} numbers, shared by one, two and four consumers that begin at the"
        f" same time, on {os.cpu_count()} cores that carry Kafka and this measurement as well.",
        in_turn({f"consumers: {n}": partial(together, n) for n in (1, 2, 4)}),
        [
            Column("numbers/s", RATE, "{:,.0f}"),
            Column("× one", RATE, "{:.2f}", over="consumers: 1"),
            Column("MB, all", MEMORY, "{:.0f}"),
            Column("% of a core, each", median("consumer"), "{:.0f}"),
            Column("% Kafka", median("kafka"), "{:.0f}"),
        ],
    ),
}
