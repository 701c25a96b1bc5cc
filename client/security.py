"""TLS and login: which settings go together, and the files that they name."""

import ssl
import sys
from collections.abc import Callable
from pathlib import Path


def variable(option: str) -> str:
    """The environment variable of an option."""
    return f"KAFKA_{option.upper()}"


def read_secret(name: str, file: str) -> str:
    """The content of a file without the newline at its end; SystemExit if it cannot be read."""
    try:
        return Path(file).read_text().rstrip("\r\n")
    except (OSError, ValueError) as error:
        sys.exit(f"{name}: the file cannot be read: {getattr(error, 'strerror', error)}.")


def check_security(options: dict) -> None:
    """Refuse settings of TLS and login that do not go together."""
    protocol = options.get("security_protocol", "PLAINTEXT")
    for layer, others in (("SASL", "SASL_PLAINTEXT or SASL_SSL"), ("SSL", "SSL or SASL_SSL")):
        idle = [variable(option) for option in options if option.startswith(f"{layer.lower()}_")]
        if idle and layer not in protocol.split("_"):
            sys.exit(f"{idle[0]} needs {others} as KAFKA_SECURITY_PROTOCOL, not {protocol}.")
    needed = ["sasl_mechanism"] if "SASL" in protocol else []
    if options.get("sasl_mechanism", "").startswith(("PLAIN", "SCRAM")):
        needed += ["sasl_plain_username", "sasl_plain_password"]
    for option in needed:
        if not options.get(option):
            sys.exit(f"{variable(option)} is missing: KAFKA_SECURITY_PROTOCOL asks for a login.")


def tls_context(options: dict) -> ssl.SSLContext:
    """What the options of TLS say; kafka-python would read their files for each connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = options.get("ssl_check_hostname", True)
    if "ssl_cafile" not in options:
        context.load_default_certs()
    if "ssl_crlfile" in options:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    load(context.load_verify_locations, options, "ssl_cafile")
    options = {"ssl_keyfile": None, "ssl_password": ""} | options  # no password: OpenSSL would ask
    load(context.load_cert_chain, options, "ssl_certfile", "ssl_keyfile", "ssl_password")
    load(context.load_verify_locations, options, "ssl_crlfile")
    return context


def load(use: Callable[..., None], options: dict, *names: str) -> None:
    """Load the files of some options, if the first is set; SystemExit names them if that fails."""
    if names[0] not in options:
        return
    try:
        use(*(options[name] for name in names))
    except OSError as error:
        given = " or ".join(variable(name) for name in names if options[name])
        pem = "no PEM in it, or key, certificate and password do not match"
        reason = pem if isinstance(error, ssl.SSLError) else error.strerror
        sys.exit(f"{given} cannot be used: {reason}.")
