"""What producers and consumers share: settings, connecting, stopping.

Everything here that knows the quirks of kafka-python is for release 3.0.12.
"""

from __future__ import annotations

import signal
import sys

# Until all is loaded Ctrl-C has to wait: some imports lose it, others take it for their failure.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

try:
    import gc
    import math
    import os
    import queue
    import re
    import ssl
    import threading
    import time
    from collections.abc import Callable, Iterator
    from contextlib import suppress
    from difflib import get_close_matches
    from functools import partial
    from pathlib import Path
    from typing import TypeVar

    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, errors
    from kafka.consumer.fetcher import ConsumerRecord
    from kafka.errors import KafkaError, KafkaTimeoutError
    from kafka.future import Future
    from kafka.net.compat import KafkaNetClient
    from kafka.net.connection import KafkaConnection
    from kafka.net.manager import KafkaConnectionManager
    from kafka.net.selector import NetworkSelector
    from kafka.net.transport import KafkaSSLTransport
    from kafka.protocol.consumer import JoinGroupRequest
    from kafka.structs import MemberState, TopicPartition
except ImportError as error:
    sys.exit(
        f"kafka-python is missing or of another release ({error}):"
        f" {sys.executable} -m pip install -r requirements.txt"
    )

TOPIC = os.environ.get("KAFKA_TOPIC") or "numbers"

# Seconds between two looks at `stop` while waiting for something else.
GLANCE = 0.2

# Seconds after which a connection counts as made.
LASTING = 1

# Seconds after which a member of a group that was killed counts as dead.
SESSION = 10

# Errors that pass although kafka-python does not call them so: a connection that spoke nonsense,
# and a broker that wants to make the topic while it does not know yet that it is there.
PASSING = (errors.KafkaProtocolError, errors.InvalidReplicationFactorError)

# What a cluster that cannot make a topic just now answers: it has too few brokers for the copies,
# or no connection to ZooKeeper, or no controller (kafka-python: admin/client.py:368 of 3.0.12).
CANNOT_YET = (errors.InvalidReplicationFactorError, errors.UnknownError, RuntimeError)

# Where a group has no offset yet, or one that the partition does not have any more.
POSITION_GONE = (
    errors.NoOffsetForPartitionError,
    errors.OffsetOutOfRangeError,
    errors.LogTruncationError,
)

# Set by the first Ctrl-C, SIGTERM or SIGHUP. A signal may come while `stop` is being looked at, and
# with the lock that an Event has its set() would wait for ever for what it interrupted.
stop = threading.Event()
stop._cond = threading.Condition(threading.RLock())
stopped_at = 0.0

OPTIONS = KafkaProducer.DEFAULT_CONFIG | KafkaConsumer.DEFAULT_CONFIG

# Options that are not to be set, and why.
REFUSED = {
    "acks|enable_idempotence|retries|delivery_timeout_ms|transactional_id|auto_offset_reset"
    "|max_in_flight_requests_per_connection|enable_auto_commit": "that no number is lost or"
    " doubled rests on it",
    "max_block_ms|bootstrap_timeout_ms|consumer_timeout_ms": "the scripts wait in their own way",
    "api_version": "the brokers are asked for it",
    "allow_auto_create_topics|ssl_ciphers": "kafka-python 3.0.12 ignores it",
    ".*serializer|ssl_context|sasl_oauth_token_provider": "it is no plain value",
}

# Where kafka-python does not know the word it connects in plain text (3.0.12), or says so late.
WORDS = {
    "KAFKA_SECURITY_PROTOCOL": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "KAFKA_SASL_MECHANISM": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "AWS_MSK_IAM"),
    "KAFKA_ISOLATION_LEVEL": ("read_committed", "read_uncommitted"),
    "KAFKA_COMPRESSION_TYPE": ("gzip", "snappy", "lz4", "zstd"),
}

# What Java and librdkafka call an option, where that is not close enough to be found.
ALIASES = {
    "sasl_jaas_config": "sasl_plain_username",
    "ssl_truststore_location": "ssl_cafile",
    "ssl_keystore_location": "ssl_certfile",
    "ssl_endpoint_identification_algorithm": "ssl_check_hostname",
    "sasl_username": "sasl_plain_username",
    "sasl_password": "sasl_plain_password",
    "ssl_ca_location": "ssl_cafile",
    "ssl_certificate_location": "ssl_certfile",
    "ssl_key_location": "ssl_keyfile",
    "ssl_key_password": "ssl_password",
}

SERVERS = re.compile(r"((^|,)\s*([^:/,\[\]\s]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?\s*)+")

Client = TypeVar("Client", KafkaProducer, KafkaConsumer)


def stop_on_signals() -> None:
    """Let Ctrl-C, SIGTERM and SIGHUP set `stop`, and a second Ctrl-C end the process at once.

    A flag and not an exception: kafka-python swallows an exception that comes while it looks up
    a name, and a number must not be torn between being printed and being committed.
    """
    stop.clear()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, on_signal)


def on_signal(number: int, _frame: object) -> None:
    """Set `stop`; at a second Ctrl-C end at once, with status 1."""
    global stopped_at
    # `timeout -s INT` and others send each signal twice: no finger is that quick.
    if number == signal.SIGINT and stop.is_set() and time.monotonic() > stopped_at + 0.1:
        os._exit(1)
    if not stop.is_set():
        stopped_at = time.monotonic()
    stop.set()


def say(text: str) -> None:
    """One line for the person, on standard error, if there still is one."""
    with suppress(OSError):
        print(f"{text}\n", end="", file=sys.stderr, flush=True)


def show(lines: list[str]) -> None:
    """Print lines on standard output so that they are seen at once."""
    if lines:
        print("\n".join(lines) + "\n", end="", flush=True)


def output_lost(error: OSError) -> int:
    """The exit status for a standard output that is gone; says why unless a reader just left."""
    # Python would try once more at its end, and complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 0
    say(f"Cannot write to standard output: {error.strerror}.")
    return 1


def passes(error: Exception) -> bool:
    """Whether an error passes by itself, so that trying again may help."""
    return getattr(error, "retriable", False) or isinstance(error, PASSING)


def settings() -> dict[str, object]:
    """Options of kafka-python from the environment, KAFKA_<OPTION> for each.

    KAFKA_SASL_PLAIN_PASSWORD_FILE and KAFKA_SSL_PASSWORD_FILE name files that hold the secret.
    Raises SystemExit with a sentence for what is no option, or not to be set, or no fit value.
    """
    own: dict[str, object] = {
        "bootstrap_servers": f"localhost:{os.environ.get('BROKER_PORT') or 9092}"
    }
    for name, text in sorted(os.environ.items()):
        option = name.removeprefix("KAFKA_").lower()
        if not name.startswith("KAFKA_") or not text:
            continue
        if option in ("sasl_plain_password_file", "ssl_password_file"):
            option, text = option.removesuffix("_file"), secret(name, text)
        for refused, reason in REFUSED.items():
            if re.fullmatch(refused, option):
                sys.exit(f"{name} cannot be set: {reason}.")
        if option in OPTIONS:
            own[option] = cast(name, text, OPTIONS[option])
        elif option != "topic" and (meant := closest(option)):
            sys.exit(f"{name} is no setting: did you mean {variable(meant)}?")
        elif option.startswith(("sasl_", "ssl_")):  # what is for safety must not be passed over
            sys.exit(f"{name} is no setting of kafka-python: leave it out.")
    check_security(own)
    return own


def variable(option: str) -> str:
    """The environment variable of an option."""
    return f"KAFKA_{option.upper()}"


def closest(unknown: str) -> str | None:
    """The option that was meant by something that is none, if any."""
    near = get_close_matches(unknown, [*OPTIONS, "topic"], 1, 0.86)
    return ALIASES.get(unknown) or (near[0] if near else None)


def check_security(own: dict) -> None:
    """Refuse settings of TLS and login that do not go together; read their files."""
    protocol = own.get("security_protocol", "PLAINTEXT")
    for layer, others in (("SASL", "SASL_PLAINTEXT or SASL_SSL"), ("SSL", "SSL or SASL_SSL")):
        idle = [variable(option) for option in own if option.startswith(f"{layer.lower()}_")]
        if idle and layer not in protocol.split("_"):
            sys.exit(f"{idle[0]} needs {others} as KAFKA_SECURITY_PROTOCOL, not {protocol}.")
    needed = ["sasl_mechanism"] if "SASL" in protocol else []
    if own.get("sasl_mechanism", "").startswith(("PLAIN", "SCRAM")):
        needed += ["sasl_plain_username", "sasl_plain_password"]
    for option in needed:
        if not own.get(option):
            sys.exit(f"{variable(option)} is missing: KAFKA_SECURITY_PROTOCOL asks for a login.")
    if protocol.endswith("SSL"):
        own["ssl_context"] = tls_context(own)


def tls_context(own: dict) -> ssl.SSLContext:
    """The files of TLS, read once: kafka-python reads them at each try, for ever."""
    # Without a password OpenSSL would ask for one on the terminal.
    config = KafkaSSLTransport.DEFAULT_CONFIG | {"ssl_password": ""}
    pair = ["ssl_certfile", "ssl_keyfile", "ssl_password"]
    for group in (["ssl_check_hostname"], ["ssl_cafile"], pair, ["ssl_crlfile"]):
        config |= {option: own[option] for option in group if option in own}
        try:
            context = KafkaSSLTransport._build_ssl_context(config)
        except OSError as error:
            named = " or ".join(variable(option) for option in group if option in own)
            reason = error.strerror
            if isinstance(error, ssl.SSLError):
                reason = "no PEM in it, or key, certificate and password do not fit each other"
            sys.exit(f"{named} cannot be used: {reason}.")
    return context


def cast(name: str, text: str, default: object) -> object:
    """A setting as the kind of value that its option has by default."""
    words = WORDS.get(name) or ("true", "false")
    if name in WORDS or isinstance(default, bool):
        if text in words:
            return text if name in WORDS else text == "true"
        sys.exit(f"{name} is {text}: it must be one of {', '.join(words)}.")
    if isinstance(default, (int, float)) or name.endswith("_BUFFER_BYTES"):
        if re.fullmatch("-?[0-9]{1,18}", text):
            return int(text)
        sys.exit(f"{name} is {text}: it must be a whole number.")
    if name == "KAFKA_BOOTSTRAP_SERVERS" and not SERVERS.fullmatch(text):
        sys.exit(f"{name} is {text}: it must be host:port, or several of them with commas.")
    if default is None or isinstance(default, str):
        return text
    sys.exit(f"{name} cannot be set here: it is no plain value.")


def secret(name: str, file: str) -> str:
    """What a file holds, without the newline at its end."""
    try:
        return Path(file).read_text().rstrip("\r\n")
    except (OSError, ValueError) as error:
        sys.exit(f"{name}: the file cannot be read: {getattr(error, 'strerror', error)}.")


def connect_kafka_producer() -> KafkaProducer:
    """A producer that is connected to a Kafka that has the topic; waits as long as that takes.

    Raises KeyboardInterrupt if `stop` is set meanwhile, and SystemExit where waiting is of no use.
    """
    # An outage must not cost a number, however long it lasts: no time limit on delivery.
    options = {"acks": "all", "enable_idempotence": True, "delivery_timeout_ms": float("inf")}
    # send() blocks where the topic was deleted; no longer than this, so that it can be stopped.
    producer = connect(KafkaProducer, **options, max_block_ms=500)
    with suppress(KafkaTimeoutError):
        producer.partitions_for(TOPIC)  # asked only now, it would make the first number late
    return producer


def close_kafka_producer(producer: KafkaProducer) -> None:
    """Close a producer within a second or two, giving up what is not acknowledged."""
    producer._sender.force_close()
    with suppress(KafkaTimeoutError):
        producer.close(timeout=1)


def connect_kafka_consumer() -> KafkaConsumer:
    """A consumer of the topic that is connected; waits as long as that takes.

    Its group is KAFKA_GROUP_ID, or `consumer_c`; empty stands for no group. It commits nothing
    by itself. Raises KeyboardInterrupt if `stop` is set meanwhile, and SystemExit where waiting
    is of no use.
    """
    group = os.environ.get("KAFKA_GROUP_ID", "consumer_c") or None
    # Where an offset is gone we want to hear of it: poll() below starts from the earliest.
    options = {"group_id": group, "auto_offset_reset": "none", "enable_auto_commit": False}
    # So long after it was killed its partitions go to another member of the group.
    options |= {"session_timeout_ms": SESSION * 1000, "heartbeat_interval_ms": 1_000}
    # Each batch waits for its commit; the 500 that are usual make a backlog wait too often.
    # A fetch that waits at a partition with nothing in it holds up the others of that broker.
    options |= {"max_poll_records": 5_000, "fetch_max_wait_ms": 250}
    consumer = connect(KafkaConsumer, TOPIC, **options, isolation_level="read_committed")
    # One that knows no partition when it joins its group may stay without for ever (3.0.12).
    while not (stop.is_set() or consumer._cluster.partitions_for_topic(TOPIC)):
        with suppress(KafkaError):
            known = consumer._cluster.request_update()
            consumer._net.run(consumer._manager.wait_for, known, 500)
    keep_calm(consumer)
    name = f'as group "{group}"' if group else "without a group: everything, every time"
    say(f'Reading topic "{TOPIC}" {name}.')
    return consumer


def keep_calm(consumer: KafkaConsumer) -> None:
    """Mend how a group's member waits for its coordinator (coordinator/base.py of 3.0.12)."""
    coordinator = consumer._coordinator
    due, needed = coordinator.time_to_next_poll, coordinator.need_rejoin
    look_up, looked_up = coordinator._send_group_coordinator_request, 0.0

    async def look_up_at_leisure():
        nonlocal looked_up
        await consumer._net.sleep(max(looked_up + GLANCE - time.monotonic(), 0))
        looked_up = time.monotonic()
        return await look_up()

    # An overdue heartbeat makes poll() spin: let it wait a little each time.
    coordinator.time_to_next_poll = lambda: max(due(), 0.05)
    # A join that outlasts one poll() may be forgotten: it is needed until it is done.
    coordinator.need_rejoin = lambda: coordinator.rejoining or needed()
    # While another broker still names a dead one as coordinator it asks again without a pause.
    coordinator._send_group_coordinator_request = look_up_at_leisure


def close_kafka_consumer(consumer: KafkaConsumer) -> None:
    """Close a consumer and leave its group, if that can be done within a third of a second."""
    with suppress(KafkaError):
        consumer.close(autocommit=False, timeout_ms=300)


def poll(consumer: KafkaConsumer) -> Iterator[list[ConsumerRecord]]:
    """Batches of records, each of one partition, until `stop` is set.

    A batch counts as printed when the next one is asked for: then it is committed, or tried again
    as long as that is not possible. No record is handed out a second time, though the group may go
    back to what was committed last. Raises KafkaError where going on is of no use, or where the
    last numbers could not be committed at the end.
    """
    known: set[TopicPartition] | None = None
    handed_out: dict[TopicPartition, int] = {}  # the next offset of each partition
    printed: dict[TopicPartition, int] = {}  # the same where it still waits to be committed
    generation = None
    while not stop.is_set():
        try:
            batches = consumer.poll(timeout_ms=int(GLANCE * 1000))
        except POSITION_GONE as error:
            reposition(consumer, error, handed_out, printed)
            continue
        except KafkaError as error:
            # A connection broke in the middle of it, or spoke nonsense: 3.0.12 lets that through.
            if not passes(error):
                raise
            stop.wait(GLANCE)
            continue
        known = announce(consumer, batches, known)
        forget_foreign(consumer, handed_out, printed)
        group = consumer.group_metadata()
        if group.state == MemberState.STABLE and group.generation_id != generation:
            generation = group.generation_id
            catch_up(consumer, handed_out)
        commit(consumer, printed)
        for partition, records in batches.items():
            if partition in printed:  # a new assignment forgets that it is paused
                consumer.seek(partition, records[0].offset)
                continue
            due = handed_out.get(partition, 0)
            if records[0].offset < due:
                records = [record for record in records if record.offset >= due]
            if records and not stop.is_set():
                yield records
                handed_out[partition] = printed[partition] = records[-1].offset + 1
                commit(consumer, printed)
        # What cannot be committed now must not grow: only one batch may come a second time.
        uncommitted = printed.keys() & consumer.assignment()
        consumer.pause(*uncommitted)
        consumer.resume(*(consumer.paused() - uncommitted))
    commit(consumer, printed)
    if printed:
        raise KafkaTimeoutError("the last numbers could not be committed and will come again")


def reposition(consumer: KafkaConsumer, error: KafkaError, handed_out: dict, printed: dict) -> None:
    """Go on after what was handed out last where the group knows less, else from the earliest."""
    if isinstance(error, errors.NoOffsetForPartitionError):
        gone = dict.fromkeys(error.args[0], -1)
    elif isinstance(error, errors.OffsetOutOfRangeError):
        gone = error.args[0]
    else:
        gone = dict.fromkeys(error.divergent_offsets, math.inf)
    for partition, offset in gone.items():
        if offset < handed_out.get(partition, -1):
            consumer.seek(partition, handed_out[partition])
            continue
        if offset >= 0:
            name = f"Partition {partition.partition}"
            say(f"{name} no longer has what was next in it: going on from the earliest.")
        consumer.seek_to_beginning(partition)
        handed_out.pop(partition, None)
        printed.pop(partition, None)


def catch_up(consumer: KafkaConsumer, handed_out: dict[TopicPartition, int]) -> None:
    """Count as handed out what another member committed while it had our partition.

    3.0.12 lets a partition that comes back go on from its old position (assign_from_subscribed).
    """
    for partition in handed_out:
        with suppress(KafkaError):
            committed = consumer.committed(partition, timeout_ms=1_000)
            handed_out[partition] = max(handed_out[partition], committed or 0)


def commit(consumer: KafkaConsumer, printed: dict[TopicPartition, int]) -> None:
    """Commit the offsets and forget them; keep them for the next time where that fails.

    Waits for the answer for two seconds, but not much longer than half of one after `stop`.
    """
    if consumer.config["group_id"] and printed:
        offsets = {tp: OffsetAndMetadata(offset, "", -1) for tp, offset in printed.items()}
        coordinator, answered = consumer._coordinator, threading.Event()

        async def send() -> None:
            # To commit_async of 3.0.12 it is enough to find a coordinator that was unknown: it does
            # not ask what became of the commit that follows (coordinator/consumer.py:793).
            if coordinator.coordinator_unknown():
                await coordinator.lookup_coordinator()
            await coordinator._send_offset_commit_request(offsets)

        answer = consumer._manager.call_soon(send).add_both(lambda _: answered.set())
        deadline = time.monotonic() + 2
        while not answered.wait(0.1) and time.monotonic() < deadline:
            if stop.is_set():
                deadline = min(deadline, stopped_at + 0.6)
        error = answer.exception
        # What a commit meets when the group has gone on meanwhile: poll() joins it again.
        rejoin = (errors.CommitFailedError, errors.IllegalGenerationError)
        rejoin += (errors.RebalanceInProgressError, errors.UnknownMemberIdError)
        if error and not (passes(error) or isinstance(error, rejoin)):
            raise error
        if not answer.succeeded():
            return
    printed.clear()


def forget_foreign(consumer: KafkaConsumer, handed_out: dict, printed: dict) -> None:
    """Forget the offsets of partitions that others have got, those not committed among them."""
    foreign = handed_out.keys() - consumer.assignment()
    if foreign and consumer.group_metadata().state == MemberState.STABLE:
        for partition in foreign:
            del handed_out[partition]
            if printed.pop(partition, None):
                say(f"Partition {partition.partition} went to another member of the group,")
                say("which may print the last numbers again.")


def announce(
    consumer: KafkaConsumer, batches: dict, known: set[TopicPartition] | None
) -> set[TopicPartition] | None:
    """The partitions that are read by now; says which and from where, when that changes."""
    assigned = consumer.assignment()
    if assigned == known:
        return known
    if not assigned:
        if consumer.group_metadata().state != MemberState.STABLE:
            return known
        if consumer._cluster.partitions_for_topic(TOPIC):
            say("Other members of the group read all partitions: standing by to take over.")
    for partition in sorted(assigned - (known or set())):
        start = None
        with suppress(KafkaError):  # not known yet: at the next look
            start = consumer.position(partition, timeout_ms=100)
        if partition in batches:
            start = batches[partition][0].offset
        if start is None:
            return known
        say(f"Reading partition {partition.partition} from offset {start}.")
    return assigned


def connect(client: type[Client], *topics: str, **options: object) -> Client:
    """A connected client of a kafka-python class, made in a thread of its own.

    The constructor looks up names and waits in ways that no signal interrupts.
    """
    made: queue.SimpleQueue = queue.SimpleQueue()
    # A quarter of a second between attempts, so that a broker that comes back is noticed at once,
    # and six until a request counts as swallowed by the network.
    options |= {"reconnect_backoff_max_ms": 250, "request_timeout_ms": 6_000}
    options |= settings()
    options |= {"bootstrap_timeout_ms": None, "kafka_client": partial(patient_client, made.put)}

    def known_to(kind: type) -> dict[str, object]:
        return {name: options[name] for name in options.keys() & kind.DEFAULT_CONFIG}

    def make() -> None:
        while not stop.wait(0.01):
            try:
                with KafkaAdminClient(**known_to(KafkaAdminClient)) as admin:
                    ensure_topic(admin)
                return made.put(client(*topics, **known_to(client)))
            except Exception as error:
                if not passes(error):
                    return made.put(SystemExit(f"Cannot start: {describe(error)[0]}."))
                stop.wait(GLANCE)  # the broker went away in the middle of it

    threading.Thread(target=make, daemon=True).start()
    while not stop.is_set():
        with suppress(queue.Empty):
            result = made.get(timeout=GLANCE)
            if isinstance(result, SystemExit):
                raise result
            gc.freeze()  # looking at all this again and again took a twentieth of a backlog's time
            return result
    raise KeyboardInterrupt


def ensure_topic(admin: KafkaAdminClient) -> None:
    """Return when Kafka has the topic; make it with the cluster's own defaults where it has not.

    Not left to auto.create.topics.enable, which is off on many a cluster. Raises KafkaError.
    """
    said = False
    while not stop.is_set():
        (topic,) = admin.describe_topics([TOPIC])
        error = errors.for_code(topic["error_code"])
        if error is errors.NoError:
            return
        if error is errors.UnknownTopicOrPartitionError:
            try:
                admin.create_topics([TOPIC])
            except errors.TopicAlreadyExistsError:
                pass
            except CANNOT_YET:
                if not said:
                    say(f"Waiting to make topic {NAMED}: brokers are missing or not ready.")
                said = True
        elif not error.retriable:
            raise error(TOPIC)
        stop.wait(GLANCE)


def patient_client(give_up: Callable, **configs: object) -> KafkaNetClient:
    """The network client that kafka-python's clients are to use: quiet, patient, informative."""
    net = NetworkSelector(**configs)
    # Neither clients' options, nor long enough by default to outlive a silent network.
    configs |= {"socket_connection_setup_timeout_ms": 3_000}
    configs |= {"socket_connection_setup_timeout_max_ms": 3_000}
    return PatientClient(net, TellingManager(give_up, net, **configs), **configs)


async def handshake(transport: KafkaSSLTransport) -> None:
    """As KafkaSSLTransport does it, but not for ever, as in 3.0.12 (net/transport.py:424)."""
    limit = time.monotonic() + 3
    while True:
        try:
            return transport._sock.do_handshake()
        except ssl.SSLWantReadError:
            await transport._net.wait_read(transport._sock, timeout_at=limit)
        except ssl.SSLWantWriteError:
            await transport._net.wait_write(transport._sock, timeout_at=limit)


KafkaSSLTransport.handshake = handshake


class PatientClient(KafkaNetClient):
    """Waits between two looks at a broker that is not ready.

    3.0.12 takes this delay, which is in seconds, for milliseconds (producer/sender.py:207), and
    it is zero while a connection is being made: a paused broker cost a full core.
    """

    def connection_delay(self, node_id: object) -> float:
        delay = super().connection_delay(node_id)
        # A group's coordinator counts as dead unless this is zero while it is being connected.
        return delay if "coordinator" in str(node_id) else max(delay * 1000, 50)

    def send(self, node_id: object, request: object, **options: object) -> Future:
        """As KafkaNetClient does it, but every error that passes is told as a lost connection.

        Over any other one a producer of 3.0.12 gives up its first request, and with it all
        numbers (producer/transaction_manager.py:869).
        """
        answer = Future()

        def fail(error: Exception) -> None:
            answer.failure(errors.KafkaConnectionError(str(error)) if passes(error) else error)

        sent = super().send(node_id, request, **options)
        sent.add_callback(answer.success).add_errback(fail)
        return answer


class TellingManager(KafkaConnectionManager):
    """Says in one line when a broker cannot be reached and why, and in one when it is back.

    kafka-python itself keeps silent or, with its log on, floods the terminal.
    """

    def __init__(self, give_up: Callable, *arguments: object, **configs: object) -> None:
        super().__init__(*arguments, **configs)
        self.give_up = give_up
        self.connected: set[str] = set()
        self.lost: set[str] = set()
        self.awaited: dict[str, str] = {}
        self.request_update = self.cluster.request_update
        self.cluster.request_update = self.request_update_once

    def request_update_once(self) -> Future:
        """As ClusterMetadata.request_update, but what is asked for is not asked for once more.

        Where a partition has no leader, a producer of 3.0.12 asks at each look, and what it asked
        ends its wait for the next look (producer/sender.py:199): it spun.
        """
        asked = self.cluster._future
        return asked if asked and self.cluster.need_update else self.request_update()

    def send(self, request, node_id=None, request_timeout_ms=None):
        """As KafkaConnectionManager does it, but a group is asked again to be joined, in time.

        3.0.12 waits five minutes for what the network swallowed (coordinator/base.py:764).
        """
        answer = super().send(request, node_id, request_timeout_ms)
        if isinstance(request, JoinGroupRequest) and (conn := self._conns.get(node_id)):
            # A group may well wait so long, for a member that is dead.
            self._net.call_later(SESSION, lambda: answer.is_done or conn.close())
        return answer

    def get_connection(self, node_id, **options):
        """As KafkaConnectionManager does it, but a broker without an address is not ready.

        Kafka may name a leader that has just died, but not its address. Over the error of 3.0.12 a
        producer spins and never asks again who leads (producer/sender.py:208), and a consumer reads
        nothing more from that broker (consumer/fetcher.py:283).
        """
        try:
            return super().get_connection(node_id, **options)
        except errors.UnknownBrokerIdError:
            self.cluster.request_update()
            raise errors.NodeNotReadyError(node_id) from None

    async def _connect(self, node, conn, **options):
        server = f"{node.host}:{node.port}"
        conn.close_future.add_errback(lambda error: self.failed(node.node_id, server, error))
        await super()._connect(node, conn, **options)
        if conn.connected:
            self._net.call_later(LASTING, lambda: self.succeeded(node.node_id, server, conn))

    async def _build_transport(self, *arguments, **options):
        transport = await super()._build_transport(*arguments, **options)
        receive = transport._sock_recv

        def receive_to_the_end():
            # The last words of a broker that hangs up, such as "wrong password", are lost in
            # 3.0.12 (net/transport.py:129); the end itself is reported once more.
            data, error = receive()
            return data, None if data else error

        transport._sock_recv = receive_to_the_end
        return transport

    def reset_backoff(self, node_id):
        """Nothing: 3.0.12 calls it even for a port that accepts and closes (net/manager.py:256)."""

    def failed(self, node_id: object, server: str, error: Exception) -> None:
        """Take note of a connection that failed, or broke, and say so once."""
        if self.closed:
            return
        self.update_backoff(node_id)
        reason, final = describe(error)
        if server in self.connected:
            self.connected.remove(server)
            self.lost.add(server)
            told = reason.partition(":")[0]  # without the hint at a setting: it worked with these
            say(f"Connection to {server} lost: {told}. Trying until it is back.")
        elif server not in self.lost and final:
            self.give_up(SystemExit(f"Kafka at {server} cannot be used: {reason}."))
        elif server not in self.lost and self.awaited.get(server) != reason:
            self.awaited[server] = reason
            servers = ", ".join(f"{name} ({why})" for name, why in self.awaited.items())
            say(f"Waiting for Kafka at {servers}.")

    def succeeded(self, node_id: object, server: str, conn: KafkaConnection) -> None:
        """Take note of a connection that lasts; one that is accepted and closed does not."""
        if not conn.connected:
            return
        super().reset_backoff(node_id)
        self.connected.add(server)
        self.awaited.pop(server, None)
        if server in self.lost:
            self.lost.remove(server)
            say(f"Connection to {server} is back.")


NAMED = f'"{TOPIC}"'
NO_TOPIC = f"there is no topic {NAMED}, and Kafka does not let us make it"
DENIED = "access denied: ask for the right"
CLOSED = "it closed the connection: not ready yet, or see KAFKA_SECURITY_PROTOCOL"

# Signs in errors, what they mean, and whether waiting is of no use.
MEANINGS = (
    ("CreateTopics", f"{NO_TOPIC}: ask for the topic, or for the right Create on it", True),
    ("TopicAuthorization", f"{DENIED} Write (a producer) or Read (a consumer) on {NAMED}", True),
    ("InvalidTopic", f"Kafka allows no topic of the name {NAMED}: see KAFKA_TOPIC", True),
    ("GroupAuthorization", f"{DENIED} Read on the group of the consumer, see KAFKA_GROUP_ID", True),
    # What a user who may write nowhere is told; Kafka before 2.8 asks for IdempotentWrite too.
    ("ClusterAuthorization", f"{DENIED} Write on {NAMED}", True),
    ("SaslAuthenticationFailed", "it refuses this user and password (KAFKA_SASL_PLAIN_…)", True),
    ("UnsupportedSaslMechanism", "it does not know this KAFKA_SASL_MECHANISM", True),
    ("IllegalSaslState", "it wants no login: see KAFKA_SECURITY_PROTOCOL", True),
    ("certificate has expired", "its certificate has expired", True),
    ("ostname mismatch", "its certificate is for another host name", True),
    ("address mismatch", "its certificate is for a host name, not for this address", True),
    ("CERTIFICATE_VERIFY_FAILED", "KAFKA_SSL_CAFILE does not vouch for its certificate", True),
    ("ALERT", "it refuses our certificate or TLS version: see KAFKA_SSL_CERTFILE", True),
    ("ECONNREFUSED", "nobody listens there", False),
    ("DNS", "unknown host", False),
    ("timed out", "no answer", False),
    ("EOF", "no TLS there, or not ready: see KAFKA_SECURITY_PROTOCOL", False),
    ("WRONG_VERSION_NUMBER", "no TLS there: see KAFKA_SECURITY_PROTOCOL", False),
    ("frame length: 352518", "it speaks TLS: see KAFKA_SECURITY_PROTOCOL", False),
    ("frame length", "what speaks there is not Kafka", False),
    ("disconnected", CLOSED, False),
    ("ECONNRESET", CLOSED, False),
    ("reset by peer", CLOSED, False),
)


def describe(error: Exception) -> tuple[str, bool]:
    """What went wrong, in a few words for a person, and whether waiting is of no use."""
    text = f"{type(error).__name__}: {error}"
    for sign, meaning, final in MEANINGS:
        if sign in text:
            return meaning, final
    # What kafka-python did not wrap in an error of its own is a setting that it stumbles over.
    return (str(error), False) if isinstance(error, KafkaError) else (text, True)


try:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
except KeyboardInterrupt:
    sys.exit(say("Interrupted!"))
