"""The values of settings: text → what the option takes, or a sentence that names the variable."""

import re
import sys

# The words that options may have, in any case: other clients write some in lower case.
# kafka-python 3.0.12 treats any other security protocol as plaintext.
CHOICES = {
    "security_protocol": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "sasl_mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "AWS_MSK_IAM"),
    "isolation_level": ("read_committed", "read_uncommitted"),
    "compression_type": ("none", "gzip", "snappy", "lz4", "zstd"),
    "client_dns_lookup": ("use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"),
}
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

SERVER = re.compile(r"([^:/,\[\]\s]+|\[[0-9a-fA-F:.]+\])(?::([0-9]{1,5}))?")


def to_value(name: str, option: str, default: object, text: str) -> object:
    """A setting as a value of the type that its option has; SystemExit where it is none."""
    if option in CHOICES or isinstance(default, bool):
        return to_choice(name, option, text.strip())
    if isinstance(default, (int, float)) or option.endswith("_buffer_bytes"):
        return to_number(name, option, text.strip())
    if option == "bootstrap_servers":
        return to_servers(name, text)
    if default is not None and not isinstance(default, str):
        sys.exit(f"{name} cannot be set here: it is not a plain value.")
    return text


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


def to_servers(name: str, text: str) -> str:
    """Addresses of brokers, `host:port` each."""
    addresses = [word.strip() for word in text.split(",") if word.strip()]
    for address in addresses or [text]:
        server = SERVER.fullmatch(address)
        try:
            valid = server and server[1].encode("idna") and 0 < int(server[2] or 9092) < 65536
        except UnicodeError:  # an empty part, or one that is too long
            valid = False
        if not valid:
            sys.exit(f"{name} is {text}: it must be host:port, or several of them with commas.")
    return ",".join(addresses)
