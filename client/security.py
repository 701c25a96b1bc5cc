"""TLS and login: which settings go together, and the files and packages that they need."""

import os
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module

from kafka.net.sasl import get_sasl_mechanism, register_sasl_mechanism
from kafka.net.sasl.abc import SaslMechanism

# Mechanisms that need a package besides kafka-python.
PACKAGES = {"AWS_MSK_IAM": "botocore", "GSSAPI": "gssapi"}


def variable(option: str) -> str:
    """The environment variable of an option."""
    return f"KAFKA_{option.upper()}"


def read_secret(name: str, file: str) -> str:
    """The content of a file without the newline at its end; SystemExit if it cannot be read."""
    try:
        # A named pipe that nobody has opened for writing is empty; else wait for what is written.
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8-sig") as stream:
            os.set_blocking(stream.fileno(), True)
            return stream.read().rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeError) else error.strerror
        sys.exit(f"{name}: the file cannot be read: {reason}.")


def reread_password(options: dict, name: str, file: str) -> None:
    """Let each login with these options read its password's file again: it may be rotated."""
    mechanism = options["sasl_mechanism"]
    original = get_sasl_mechanism(mechanism)
    login = ("sasl_plain_username", "sasl_plain_password")

    def log_in(**config: object) -> SaslMechanism:
        # Not another client's login:
        if all(config[option] == options.get(option) for option in login):
            former = config["sasl_plain_password"]  # if there is no file, or an empty pipe by now
            with suppress(SystemExit):
                config["sasl_plain_password"] = read_secret(name, file) or former
        return original(**config)

    register_sasl_mechanism(mechanism, log_in, overwrite=True)


def take_protocol(options: dict, named: set[str]) -> None:
    """Use the protocol that the brokers' addresses name; SystemExit if there are two."""
    what = "KAFKA_BOOTSTRAP_SERVERS names two protocols"
    if named and "security_protocol" in options:
        named = named | {options["security_protocol"]}
        what = "KAFKA_BOOTSTRAP_SERVERS and KAFKA_SECURITY_PROTOCOL differ"
    if len(named) > 1:
        sys.exit(f"{what}: {' and '.join(sorted(named))}.")
    for protocol in named:
        options["security_protocol"] = protocol


def check_security(options: dict) -> None:
    """Refuse settings of TLS and login that do not go together, or lack what a login needs."""
    protocol = options.get("security_protocol", "PLAINTEXT")
    for layer, others in (("SASL", "SASL_PLAINTEXT or SASL_SSL"), ("SSL", "SSL or SASL_SSL")):
        idle = [variable(option) for option in options if option.startswith(f"{layer.lower()}_")]
        if idle and layer not in protocol.split("_"):
            sys.exit(f"{idle[0]} needs {others} as KAFKA_SECURITY_PROTOCOL, not {protocol}.")
    needed = ["sasl_mechanism"] if "SASL" in protocol else []
    mechanism = options.get("sasl_mechanism", "")
    if mechanism.startswith(("PLAIN", "SCRAM")):
        needed += ["sasl_plain_username", "sasl_plain_password"]
    for option in needed:
        if not options.get(option):
            if os.environ.get(f"{variable(option)}_FILE"):
                sys.exit(f"{variable(option)}_FILE: the file is empty.")
            sys.exit(f"{variable(option)} is missing: {protocol} needs it to log in.")
    if mechanism == "AWS_MSK_IAM" and protocol != "SASL_SSL":
        sys.exit(f"KAFKA_SECURITY_PROTOCOL is {protocol}: AWS_MSK_IAM needs SASL_SSL.")
    if mechanism in PACKAGES:
        check_package(mechanism)
    if mechanism == "AWS_MSK_IAM":
        check_aws()


def check_package(mechanism: str) -> None:
    """Refuse a mechanism whose package cannot be imported."""
    try:
        import_module(PACKAGES[mechanism])
    except (ImportError, OSError) as error:  # OSError: a library of the system is missing
        install = f"{sys.executable} -m pip install {PACKAGES[mechanism]}"
        sys.exit(f"KAFKA_SASL_MECHANISM={mechanism} needs a package ({error}): {install}")


def check_aws() -> None:
    """Refuse a login by AWS_MSK_IAM without credentials or a region; AWS_REGION names one, too."""
    from botocore.session import Session

    if region := os.environ.get("AWS_REGION"):  # botocore reads only the other variable
        os.environ.setdefault("AWS_DEFAULT_REGION", region)
    try:
        session = Session()
        credentials, region = session.get_credentials(), session.get_config_variable("region")
        if credentials:
            credentials.get_frozen_credentials()  # which have expired, perhaps
    except Exception as error:  # whatever a profile's program, file or address leads to
        sys.exit(f"AWS_MSK_IAM gets no AWS credentials: {error}")
    if not credentials:
        sys.exit(
            "AWS_MSK_IAM finds no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and"
            " AWS_SECRET_ACCESS_KEY."
        )
    if not region:
        sys.exit("AWS_MSK_IAM finds no AWS region: set AWS_REGION.")


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
    given = [variable(name) for name in names if options.get(name)]
    if names[0] not in options:
        if given:
            sys.exit(f"{variable(names[0])} is missing: {given[0]} needs it.")
        return
    try:
        use(*(options[name] for name in names))
    except (OSError, ValueError) as error:  # ValueError: the password is too long
        pem = "no PEM in it, or key, certificate and password do not match"
        reason = pem if isinstance(error, ssl.SSLError) else getattr(error, "strerror", error)
        sys.exit(f"{' or '.join(given)} cannot be used: {reason}.")
