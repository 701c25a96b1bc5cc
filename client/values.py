"""The values of settings: text → what the option takes, or a sentence that names the variable."""

import re
import sys
from itertools import pairwise
from typing import Any

# The words that options may have, in any case: other clients write some in lower case.
# kafka-python 3.0.12 treats any other security protocol as plaintext.
CHOICES = {
    "security_protocol": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "sasl_mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "AWS_MSK_IAM"),
    "isolation_level": ("read_committed", "read_uncommitted"),
    "compression_type": ("none", "gzip", "snappy", "lz4", "zstd"),
    "client_dns_lookup": ("use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"),
}
PROTOCOL = re.compile(rf"^\s*({'|'.join(CHOICES['security_protocol'])})://", re.I)
SWITCHES = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}

# The smallest number with which an option works, where that is not 0, and the largest. Numbers that
# linger for longer than a second would be lost at the end.
LEAST = {"max_poll_records": 1, "metrics_num_samples": 1, "request_timeout_ms": 1_000}
LEAST |= {"max_poll_interval_ms": 1_000, "connections_max_idle_ms": 10_000}
LEAST |= {"receive_message_max_bytes": 1_048_576}
LIMITS = {"linger_ms": 1_000}
MOST = 2**31 - 1

# Options for which -1 stands for no limit or for the system's own, and what that is here.
UNLIMITED = {"connections_max_idle_ms": MOST, "receive_buffer_bytes": None}
UNLIMITED |= {"send_buffer_bytes": None}

# Options of which each must be less than the next: kafka-python refuses anything else.
ASCENDING = (
    ("fetch_max_wait_ms", "request_timeout_ms", "connections_max_idle_ms"),
    ("heartbeat_interval_ms", "session_timeout_ms"),
)

# The form that a text must have, where a group is an address, and how to say it. A proxy's may hold
# a password.
PROXY = (
    re.compile(r"(?:http|socks5h?)://(?:[^@/\s]*@)?([^@/\s]+:[0-9]+)/?", re.I),
    "http://host:port, socks5://host:port or socks5h://host:port",
)
FORMS = {
    "proxy_url": PROXY,
    "socks5_proxy": PROXY,
    "group_instance_id": (
        re.compile(r"(?!\.\.?$)[A-Za-z0-9._-]{1,249}"),
        "at most 249 of the characters A-Z, a-z, 0-9, dot, underscore and hyphen",
    ),
}

# Names of files may be any bytes; every other text goes to the broker.
FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile")
LONGEST = 2**15 - 1  # bytes, in Kafka's protocol

SERVER = re.compile(r"([^:/,\[\]\s]+|\[[0-9a-fA-F:.]+\])(?::([0-9]{1,5}))?")


def to_value(name: str, option: str, default: object, text: str) -> object:
    """A setting as a value of the type that its option has; SystemExit where it is none."""
    if option not in FILES:
        check_text(name, text)
    if option in CHOICES or isinstance(default, bool):
        return to_choice(name, option, text.strip())
    if isinstance(default, (int, float)) or option.endswith("_buffer_bytes"):
        return to_number(name, option, text.strip())
    if option == "bootstrap_servers":
        return to_servers(name, text)
    if default is not None and not isinstance(default, str):
        sys.exit(f"{name} cannot be set here: it is not a plain value.")
    if option in FORMS:
        form = FORMS[option][0].fullmatch(text)
        if not form or not all(map(is_server, form.groups())):
            sys.exit(f"{name} must be {FORMS[option][1]}.")
    return text


def check_text(name: str, text: str) -> None:
    """Refuse a text that Kafka's protocol cannot carry."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        sys.exit(f"{name} is not UTF-8.")
    if size > LONGEST:
        sys.exit(f"{name} has {size} bytes: it must have at most {LONGEST}.")


def check_together(options: dict[str, Any]) -> None:
    """Refuse values of a client's options that exclude each other."""
    for names in ASCENDING:
        for lower, upper in pairwise(name for name in names if name in options):
            if options[lower] >= options[upper]:
                less, more = (f"KAFKA_{name.upper()} ({options[name]})" for name in (lower, upper))
                sys.exit(f"{less} must be less than {more}.")
    if options.get("group_instance_id") and not options.get("group_id", True):
        sys.exit("KAFKA_GROUP_INSTANCE_ID needs a group: KAFKA_GROUP_ID is empty.")


def to_choice(name: str, option: str, text: str) -> str | bool | None:
    """One of the words that an option may have; None for no compression."""
    known = {word.lower(): word for word in CHOICES.get(option, ())} or SWITCHES
    if text.lower() not in known:
        words = ", ".join(CHOICES.get(option, ("true", "false")))
        sys.exit(f"{name} is {text}: it must be one of {words}.")
    value = known[text.lower()]
    return None if value == "none" else value


def to_number(name: str, option: str, text: str) -> int | None:
    """A number that an option may have."""
    least, most = LEAST.get(option, 0), LIMITS.get(option, MOST)
    if text == "-1" and option in UNLIMITED:
        return UNLIMITED[option]
    if not re.fullmatch("[0-9]{1,10}", text) or not least <= int(text) <= most:
        sys.exit(f"{name} is {text}: it must be a whole number from {least} to {most}.")
    return int(text)


def protocols_in(text: str) -> set[str]:
    """The protocols that addresses of brokers begin with, as in `SASL_SSL://host:port`."""
    found = (PROTOCOL.match(address) for address in text.split(","))
    return {match[1].upper() for match in found if match}


def to_servers(name: str, text: str) -> str:
    """Addresses of brokers, `host:port` each, without a protocol in front of them."""
    words = (PROTOCOL.sub("", word, 1).strip() for word in text.split(","))
    addresses = [word for word in words if word]
    for address in addresses or [text]:
        if not is_server(address):
            what = "has a login" if "@" in text else f"is {text}"  # do not show it
            sys.exit(f"{name} {what}: it must be host:port, or several of them with commas.")
    return ",".join(addresses)


def is_server(address: str) -> bool:
    """Whether an address may exist: a host, or `host:port`."""
    server = SERVER.fullmatch(address)
    try:
        return bool(server and server[1].encode("idna") and 0 < int(server[2] or 9092) < 65536)
    except UnicodeError:  # an empty part, or one that is too long
        return False
