"""Whatever other programs write into the topic: numbers are printed, the rest is named."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import count
from uuid import uuid4

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.client import write
from tests.support.process import Running, eventually, script
from tests.support.servers import Broker

# Kafka's own default, and what a batch of one record without a key needs besides its value.
LARGEST_BATCH, AROUND_THE_VALUE = 1048588, 72

Record = tuple[bytes | None, bytes | None]


class Stream:
    """A topic and one consumer C that reads it."""

    def __init__(self, broker: Broker) -> None:
        self.servers, self.topic = broker.servers, f"bad-input-{uuid4().hex[:6]}"
        self.marks = count(1)
        broker.create(self.topic, config={"max.message.bytes": str(LARGEST_BATCH)})
        self.producer = self.writer()
        self.consumer = script("consumer_c.py", self.servers, self.topic, KAFKA_GROUP_ID="")
        self.seen_out = self.seen_err = 0
        self.exchange([])
        self.seen_err = len(self.consumer.err)  # what it said at its start

    def writer(self, **options: object) -> Producer:
        """An independent producer that lets the broker refuse a record."""
        common = {"bootstrap.servers": self.servers, "message.max.bytes": 10_000_000}
        return Producer(common | {"linger.ms": 0, "log_level": 0} | options)

    def write(self, records: list[Record], producer: Producer | None = None) -> list[int]:
        """The offsets that the broker gave to these records; raises where it refused one."""
        producer = producer or self.producer
        offsets: list[int] = []

        def delivered(error: KafkaError | None, message) -> None:
            if error:
                raise KafkaException(error)
            offsets.append(message.offset())

        for key, value in records:
            producer.produce(self.topic, value, key, partition=0, on_delivery=delivered)
        assert producer.flush(20) == 0
        return offsets

    def exchange(self, records: list[Record]) -> tuple[list[int], list[str], list[str]]:
        """The offsets of these records, and what C printed and said of them."""
        mark = str(next(self.marks))
        *offsets, _ = self.write([*records, (b"mark", mark.encode())])
        skipped = sum(line(key, value) is None for key, value in records)
        out, err = self.consumer.out, self.consumer.err
        eventually(lambda: out and out[-1] == f"mark: {mark}", 20, "mark", mark, self.consumer)
        eventually(
            lambda: len(err) >= self.seen_err + skipped, 5, skipped, "skipped", self.consumer
        )
        printed, said = out[self.seen_out : -1], err[self.seen_err :]
        self.seen_out, self.seen_err = len(out), len(err)
        return offsets, printed, said


@pytest.fixture(scope="module")
def stream(broker) -> Iterator[Stream]:
    """One consumer for all tests here: what stops it, or makes it lose count, fails the next."""
    stream = Stream(broker)
    try:
        yield stream
    finally:
        stream.consumer.kill()


def line(key: bytes | None, value: bytes | None) -> str | None:
    """What C has to print for a record, None where it has to skip it."""
    if not value or value == b"-" or set(value.removeprefix(b"-")) - set(b"0123456789"):
        return None
    origin = "?" if key is None else "".join(map(shown, key.decode("utf-8", "surrogateescape")))
    return f"{origin}: {value.decode()}"


def shown(character: str) -> str:
    """A character as it may stand in a terminal: by its Unicode category."""
    category, code = unicodedata.category(character), ord(character)
    if character == " " or category[0] not in "CZ":
        return character
    if category == "Cs":  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if character in "\t\n\r":
        return {"\t": r"\t", "\n": r"\n", "\r": r"\r"}[character]
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else rf"\u{code:04x}"
        if code < 0x10000
        else rf"\U{code:08x}"
    )


def check(stream: Stream, records: list[Record]) -> list[str]:
    """Have C read these records and compare; what it said of those it skipped."""
    offsets, printed, said = stream.exchange(records)
    lines = [line(key, value) for key, value in records]
    assert printed == [text for text in lines if text is not None]
    named = [re.match(r"Skipped partition 0, offset (\d+), not a number: .", text) for text in said]
    assert all(named), said
    skipped = [offset for offset, text in zip(offsets, lines, strict=True) if text is None]
    assert [int(match[1]) for match in named if match] == skipped
    assert all(text.isprintable() and len(text) < 300 for text in said), said
    return said


NUMBERLIKE = st.from_regex(r"\s?[-+]?[0-9_.,٠-٩]{0,30}\s?", fullmatch=True).map(str.encode)
NUMBERS = st.integers().map(lambda number: str(number).encode())
KEYS = st.none() | st.binary(max_size=20) | st.text(max_size=20).map(str.encode)
VALUES = NUMBERS | NUMBERLIKE | st.none() | st.binary(max_size=80) | st.text().map(str.encode)


def test_any_mixture_of_records_is_printed_or_named_one_by_one_and_nothing_is_lost(stream, full):
    @settings(
        max_examples=1000 if full else 60,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=20))
    def mixture(records):
        check(stream, records)

    mixture()


PRINTED = {
    "no key": (None, b"4", "?: 4"),
    "empty key": (b"", b"4", ": 4"),
    "negative": (b"A", b"-4", "A: -4"),
    "leading zeros": (b"A", b"007", "A: 007"),
    "key not UTF-8": (b"\xff\xfeA", b"4", r"\xff\xfeA: 4"),
    "key with umlaut": ("Zoë".encode(), b"4", "Zoë: 4"),
    "key with newline": (b"A\nB: 6", b"4", r"A\nB: 6: 4"),
    "key with carriage return": (b"A\rB", b"4", r"A\rB: 4"),
    "key with escape sequences": (b"\x1b[31m\x9b2J", b"4", r"\x1b[31m\x9b2J: 4"),
    "key with a C1 control": ("\x9b2J".encode(), b"4", r"\x9b2J: 4"),
    "key with NUL": (b"A\0B", b"4", r"A\x00B: 4"),
    "key with right-to-left override": ("A\u202eB".encode(), b"4", r"A\u202eB: 4"),
    "key with line separator": ("A\u2028B".encode(), b"4", r"A\u2028B: 4"),
}


@pytest.mark.parametrize("case", PRINTED)
def test_a_number_is_printed_on_one_safe_line_with(stream, case):
    key, value, expected = PRINTED[case]
    assert stream.exchange([(key, value)])[1:] == ([expected], [])


def test_a_key_of_one_megabyte_is_printed(stream):
    assert stream.exchange([(b"k" * 1_000_000, b"4")])[1:] == (["k" * 1_000_000 + ": 4"], [])


def test_a_record_of_the_largest_size_that_the_broker_takes_is_printed(stream):
    largest = LARGEST_BATCH - AROUND_THE_VALUE
    with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):
        stream.write([(None, b"7" * (largest + 1))], stream.writer())
    assert stream.exchange([(None, b"7" * largest)])[1:] == (["?: " + "7" * largest], [])


SKIPPED = {
    "no value": (None, "no value"),
    "empty value": (b"", "empty"),
    "a word": (b"abc", "abc"),
    "a fraction": (b"1.5", r"1\.5"),
    "an underscore": (b"1_0", "1_0"),
    "blanks around it": (b" 4 ", " 4 "),
    "a newline after it": (b"4\n", r"4\\n"),
    "Arabic digits": ("٤".encode(), "٤"),
    "a plus sign": (b"+4", r"\+4"),
    "a minus sign only": (b"-", "-"),
    "bytes that are not UTF-8": (b"\xff\xfe", r"\\xff\\xfe"),
    "an escape sequence": (b"\x1b[2J", r"\\x1b\[2J"),
    "a megabyte of text": (b"x" * 1_000_000, "xxx"),
}


@pytest.mark.parametrize("case", SKIPPED)
def test_what_is_not_a_number_is_skipped_and_named(stream, case):
    value, what = SKIPPED[case]
    (said,) = check(stream, [(b"A", value)])
    assert re.search(what, said)


def test_the_end_says_how_many_were_skipped(run, broker, topic):
    write(broker.servers, topic, 0, "a", "b", 2, "c", 4)
    consumer = run("consumer_c.py")
    consumer.said("A: 4")
    assert consumer.stop() == 0
    assert consumer.out == ["A: 0", "A: 2", "A: 4"]
    assert consumer.find("^3 skipped")


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed_batches_are_read(stream, codec):
    producer = stream.writer(**{"compression.type": codec, "linger.ms": 200})
    numbers = [(b"A", str(number).encode()) for number in range(1000)]
    # Uncompressed, this one would be too large for the broker.
    numbers.append((b"A", b"5" * 2_000_000))
    stream.write(numbers, producer)
    assert stream.exchange([])[1:] == ([f"A: {value.decode()}" for _, value in numbers], [])


def test_a_transaction_is_read_when_it_is_committed_and_not_when_it_is_aborted(stream):
    producer = stream.writer(**{"transactional.id": stream.topic})
    producer.init_transactions(20)
    for value, end in (
        (b"1", producer.abort_transaction),
        (b"2", producer.commit_transaction),
        (b"no number", producer.abort_transaction),
        (b"3", producer.commit_transaction),
    ):
        producer.begin_transaction()
        stream.write([(b"T", value)] * 3, producer)
        end(20)
    assert stream.exchange([])[1:] == (["T: 2"] * 3 + ["T: 3"] * 3, [])


def test_characters_that_the_output_cannot_encode_are_printed_as_escapes(run, broker, topic):
    write(broker.servers, topic, 4, key="ë ✓")
    write(broker.servers, topic, "✓", 6)
    consumer: Running = run("consumer_c.py", PYTHONIOENCODING="ascii")
    consumer.said("A: 6")
    assert consumer.out == [r"\xeb \u2713: 4", "A: 6"]
    consumer.said(r"offset 1, .*\\u2713")
