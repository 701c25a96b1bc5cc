"""Settings from the environment: `KAFKA_<OPTION>` for each option of kafka-python."""

import os
import re
import sys
from difflib import get_close_matches

from kafka import KafkaConsumer, KafkaProducer

from client.security import (
    check_security,
    read_secret,
    reread_password,
    take_protocol,
    tls_context,
    variable,
)
from client.values import check_text, protocols_in, to_value

TOPIC = os.environ.get("KAFKA_TOPIC") or "numbers"

OPTIONS = KafkaProducer.DEFAULT_CONFIG | KafkaConsumer.DEFAULT_CONFIG

# Options that must not be set, and why.
REFUSED = {
    "acks|enable_idempotence|retries|delivery_timeout_ms|transactional_id|auto_offset_reset"
    "|max_in_flight_requests_per_connection|enable_auto_commit": "the delivery guarantee depends"
    " on it (no number is lost or duplicated)",
    "max_block_ms|bootstrap_timeout_ms|consumer_timeout_ms": "the scripts set their own timeouts",
    "api_version": "the brokers are asked for it",
    "allow_auto_create_topics|ssl_ciphers": "kafka-python 3.0.12 ignores it",
    ".*serializer|ssl_context|sasl_oauth_token_provider": "it is not a plain value",
}

# What Java and librdkafka call an option whose name is not similar.
ALIASES = {
    "metadata_broker_list": "bootstrap_servers",
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


def read_settings() -> dict[str, object]:
    """Options of kafka-python from the environment; SystemExit names what cannot be used.

    KAFKA_SASL_PLAIN_PASSWORD_FILE and KAFKA_SSL_PASSWORD_FILE name files that hold the secret.
    """
    # The local broker's address as a number: `localhost` may be one of IPv6.
    options: dict[str, object] = {"bootstrap_servers": f"127.0.0.1:{local_port()}"}
    for name, text in sorted(os.environ.items()):
        option = name.removeprefix("KAFKA_").lower()
        if not name.startswith("KAFKA_") or not text:
            continue
        if option in ("sasl_plain_password_file", "ssl_password_file"):
            option, text = option.removesuffix("_file"), read_secret(name, text)
        if is_option(name, option):
            options[option] = to_value(name, option, OPTIONS[option], text)
    check_text("KAFKA_TOPIC", TOPIC)
    take_protocol(options, protocols_in(os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")))
    check_security(options)
    if file := os.environ.get("KAFKA_SASL_PLAIN_PASSWORD_FILE"):
        reread_password(options, "KAFKA_SASL_PLAIN_PASSWORD_FILE", file)
    if str(options.get("security_protocol", "")).endswith("SSL"):
        options["ssl_context"] = tls_context(options)
    return options


def is_option(name: str, option: str) -> bool:
    """Whether a variable sets an option; SystemExit if it must not be set, or looks misspelt."""
    for refused, reason in REFUSED.items():
        if re.fullmatch(refused, option):
            sys.exit(f"{name} cannot be set: {reason}.")
    if option in OPTIONS:
        return True
    near = get_close_matches(option, [*OPTIONS, "topic"], 1, 0.86)
    meant = ALIASES.get(option) or (near[0] if near else None)
    if meant and option != "topic":
        sys.exit(f"{name} is not a setting: did you mean {variable(meant)}?")
    if re.search("ssl_|sasl_", option):  # security must not be left out by mistake
        sys.exit(f"{name} is not a setting of kafka-python: remove it.")
    return False


def local_port() -> str:
    """The port of the local broker."""
    port = os.environ.get("BROKER_PORT") or "9092"
    if port.startswith("tcp://"):  # a container's link to another broker, not a setting of ours
        return "9092"
    if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        sys.exit(f"BROKER_PORT={port} is not a port number (1 to 65535).")
    return port
