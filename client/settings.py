"""Settings from the environment: `KAFKA_<OPTION>` for each option of kafka-python."""

import os
import re
import sys
from difflib import get_close_matches

from kafka import KafkaConsumer, KafkaProducer

from client.security import check_security, read_secret, tls_context, variable

TOPIC = os.environ.get("KAFKA_TOPIC") or "numbers"

OPTIONS = KafkaProducer.DEFAULT_CONFIG | KafkaConsumer.DEFAULT_CONFIG

# Options that must not be set, and why.
REFUSED = {
    "acks|enable_idempotence|retries|delivery_timeout_ms|transactional_id|auto_offset_reset"
    "|max_in_flight_requests_per_connection|enable_auto_commit": "the delivery guarantee depends"
    " on it: no number is lost or doubled",
    "max_block_ms|bootstrap_timeout_ms|consumer_timeout_ms": "the scripts wait in their own way",
    "api_version": "the brokers are asked for it",
    "allow_auto_create_topics|ssl_ciphers": "kafka-python 3.0.12 ignores it",
    ".*serializer|ssl_context|sasl_oauth_token_provider": "it is not a plain value",
}

# The values of options for which kafka-python 3.0.12 takes any word: an unknown security protocol
# means plain text, the others fail late.
CHOICES = {
    "security_protocol": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "sasl_mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "AWS_MSK_IAM"),
    "isolation_level": ("read_committed", "read_uncommitted"),
    "compression_type": ("gzip", "snappy", "lz4", "zstd"),
}

# What Java and librdkafka call an option whose name is not similar.
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


def read_settings() -> dict[str, object]:
    """Options of kafka-python from the environment; SystemExit names what cannot be used.

    KAFKA_SASL_PLAIN_PASSWORD_FILE and KAFKA_SSL_PASSWORD_FILE name files that hold the secret.
    """
    port = os.environ.get("BROKER_PORT") or 9092
    options: dict[str, object] = {"bootstrap_servers": f"localhost:{port}"}
    for name, text in sorted(os.environ.items()):
        option = name.removeprefix("KAFKA_").lower()
        if not name.startswith("KAFKA_") or not text:
            continue
        if option in ("sasl_plain_password_file", "ssl_password_file"):
            option, text = option.removesuffix("_file"), read_secret(name, text)
        if is_option(name, option):
            options[option] = to_value(name, option, text)
    check_security(options)
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
        sys.exit(f"{name} is no setting: did you mean {variable(meant)}?")
    if option.startswith(("sasl_", "ssl_")):  # security must not be left out by mistake
        sys.exit(f"{name} is no setting of kafka-python: leave it out.")
    return False


def to_value(name: str, option: str, text: str) -> object:
    """A setting as the type of value that its option has; SystemExit where it is none."""
    default = OPTIONS[option]
    if choices := CHOICES.get(option) or (("true", "false") if isinstance(default, bool) else ()):
        if text not in choices:
            sys.exit(f"{name} is {text}: it must be one of {', '.join(choices)}.")
        return text == "true" if isinstance(default, bool) else text
    if isinstance(default, (int, float)) or option.endswith("_buffer_bytes"):
        if not re.fullmatch("-?[0-9]{1,18}", text):
            sys.exit(f"{name} is {text}: it must be a whole number.")
        return int(text)
    if option == "bootstrap_servers" and not SERVERS.fullmatch(text):
        sys.exit(f"{name} is {text}: it must be host:port, or several of them with commas.")
    if default is not None and not isinstance(default, str):
        sys.exit(f"{name} cannot be set here: it is not a plain value.")
    return text
