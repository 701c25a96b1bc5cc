"""What this project is measured against: `python -m tests.benchmark.contenders NAME ARGUMENTS`.

Each function is a program that runs in a process of its own. Those that send at a pace leave the
moments at which they did, on the monotonic clock, in a file.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import confluent_kafka
from kafka import KafkaConsumer, KafkaProducer

EARLIEST = {"auto_offset_reset": "earliest"}


def tutorial_producer(servers: str, topic: str, step: str) -> None:
    """The loop that every tutorial has: send, flush, sleep."""
    producer = KafkaProducer(bootstrap_servers=servers)
    number = 0
    while True:
        producer.send(topic, key=b"A", value=str(number).encode())
        producer.flush()
        print(f"A: {number}")
        number += 2
        time.sleep(float(step))


def tutorial_consumer(servers: str, topic: str, group: str) -> None:
    """The loop that every tutorial has: for message in consumer, print."""
    consumer = KafkaConsumer(topic, bootstrap_servers=servers, group_id=group, **EARLIEST)
    for message in consumer:
        print(f"{message.key.decode()}: {message.value.decode()}")


def bare_poll(servers: str, topic: str, count: str) -> None:
    """The limit of kafka-python: poll and count; prints the rate from the first batch on."""
    consumer = KafkaConsumer(topic, bootstrap_servers=servers, **EARLIEST)
    read, first = 0, None
    while read < int(count):
        for records in consumer.poll(timeout_ms=200).values():
            read += len(records)
            first = first or (read, time.monotonic())
    assert first, "nothing was read"
    print((read - first[0]) / (time.monotonic() - first[1]))


def bare_consumer(servers: str, topic: str, _group: str) -> None:
    """kafka-python's poll() and a print for each record, flushed batch by batch."""
    consumer = KafkaConsumer(topic, bootstrap_servers=servers, **EARLIEST)
    while True:
        for records in consumer.poll(timeout_ms=200).values():
            for record in records:
                print(f"{record.key.decode()}: {record.value.decode()}")
            sys.stdout.flush()


def confluent_consumer(servers: str, topic: str, group: str) -> None:
    """confluent-kafka's consume() and a print for each record, flushed batch by batch."""
    settings = {"bootstrap.servers": servers, "group.id": group, "auto.offset.reset": "earliest"}
    consumer = confluent_kafka.Consumer(settings | {"enable.auto.commit": False})
    consumer.subscribe([topic])
    while True:
        # consume() waits for as many as it is asked for: one, then all that are there by now.
        for record in [*consumer.consume(1, 0.2), *consumer.consume(500, 0)]:
            key, value = record.key(), record.value()
            print(f"{key.decode()}: {value.decode()}")  # type: ignore[union-attr]  # both are there
        sys.stdout.flush()


def bare_sender(servers: str, topic: str, count: str) -> None:
    """The limit of kafka-python: send() in a loop, acknowledgements counted by callbacks."""
    producer = KafkaProducer(bootstrap_servers=servers)
    producer.partitions_for(topic)
    acknowledged = []
    begin = time.monotonic()
    for number in range(int(count)):
        future = producer.send(topic, key=b"A", value=str(2 * number).encode())
        future.add_callback(lambda metadata: acknowledged.append(metadata.offset))
    producer.flush()
    print(len(acknowledged) / (time.monotonic() - begin))


def confluent_sender(servers: str, topic: str, count: str) -> None:
    """The same with confluent-kafka."""
    producer = confluent_kafka.Producer({"bootstrap.servers": servers})
    producer.list_topics(topic)
    acknowledged = []
    begin = time.monotonic()
    for number in range(int(count)):
        while True:
            try:
                producer.produce(
                    topic,
                    str(2 * number).encode(),
                    b"A",
                    on_delivery=lambda error, message: acknowledged.append(message.offset()),
                )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush()
    print(len(acknowledged) / (time.monotonic() - begin))


def bare_paced(servers: str, topic: str, step: str, count: str, moments: str) -> None:
    """kafka-python's send() at a pace."""
    producer = KafkaProducer(bootstrap_servers=servers)
    producer.partitions_for(topic)
    take_note_of_sends(int(count), moments)
    for number in paced(float(step), int(count)):
        producer.send(topic, key=b"A", value=str(number).encode())
    producer.flush()


def confluent_paced(servers: str, topic: str, step: str, count: str, moments: str) -> None:
    """confluent-kafka's produce() at a pace, without its wait of 5 ms for more."""
    producer = confluent_kafka.Producer({"bootstrap.servers": servers, "linger.ms": 0})
    producer.list_topics(topic)
    sent = []
    for number in paced(float(step), int(count)):
        sent.append(time.monotonic())
        producer.produce(topic, str(number).encode(), b"A")
    producer.flush()
    Path(moments).write_text(" ".join(map(str, sent)))


def project_paced(step: str, count: str, moments: str) -> None:
    """This project's produce(), interrupted after so many numbers."""
    from producer_utils import produce

    take_note_of_sends(int(count), moments, lambda: os.kill(os.getpid(), signal.SIGINT))
    produce(sleep_time=float(step), even=True)


def paced(step: float, count: int) -> Iterator[int]:
    """0, 2, 4, …, each when its time has come."""
    start = time.monotonic()
    for k in range(count):
        time.sleep(max(start + k * step - time.monotonic(), 0))
        yield 2 * k


def take_note_of_sends(count: int, moments: str, last: Callable = lambda: None) -> None:
    """Let each send() of kafka-python be noted, and the last one of all call `last`."""
    sent, send = [], KafkaProducer.send

    def noted(*arguments: object, **options: object) -> object:
        sent.append(time.monotonic())
        future = send(*arguments, **options)
        if len(sent) == count:
            Path(moments).write_text(" ".join(map(str, sent)))
            last()
        return future

    KafkaProducer.send = noted


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
