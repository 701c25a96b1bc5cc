"""The sentence for each error of kafka-python."""

import re

from kafka import errors
from kafka.errors import KafkaError

from client.settings import TOPIC

# Transient, although kafka-python does not call them so: a connection on which something other than
# Kafka answered, a broker that creates a topic while it does not know yet that it is there, and a
# login that is refused under way: the password is being rotated.
TRANSIENT = (
    errors.KafkaProtocolError,
    errors.InvalidReplicationFactorError,
    errors.SaslAuthenticationFailedError,
)

NAME = f'"{TOPIC}"'
NO_TOPIC = f"there is no topic {NAME}"
DENIED = "access denied: ask for the ACL"
GROUP = "see KAFKA_GROUP_ID"
LACKS = "this broker is too old, or lacks a request that the scripts need"
DAMAGED = "a record is damaged, on the broker's disk or on the way"
NOT_KAFKA = "its answers are not those of a Kafka broker"
CLOSED = "it closed the connection: not ready yet, or see KAFKA_SECURITY_PROTOCOL"

# A request that a broker lacks, and the place of a damaged record.
REQUEST = re.compile(r"'(\w+)Request'")
PLACE = re.compile(r"partition=(\d+)\) at offset (\d+)")

# Part of an error's name or text, and what it means; the first match counts. These are final:
FINAL = {
    "'CreateTopicsRequest'": f"{NO_TOPIC}, and this broker lacks CreateTopics: create it first",
    "CreateTopics": f"{NO_TOPIC}, and this user may not create it: have it created,"
    " or ask for the ACL Create on it",
    "requires explicit num_partitions": f"{NO_TOPIC}, and a broker older than 2.4 does not choose"
    " its partitions: create it first",
    "'MetadataRequest'": "this is a KRaft controller's port: name a broker's in"
    " KAFKA_BOOTSTRAP_SERVERS",
    "'InitProducerIdRequest'": "this broker lacks InitProducerId, without which a number could be"
    " stored twice",
    "requires broker >= 0.11": "this broker is older than 0.11: numbers could be stored twice",
    "'FindCoordinatorRequest'": "this broker has no groups: set KAFKA_GROUP_ID to an empty string",
    # max_poll_interval_ms and session_timeout_ms:
    "does not support different values": "this broker is older than 0.10.1: the consumer needs 0.11"
    " or newer",
    "IncompatibleBrokerVersion": LACKS,
    "frozen_credentials": "the AWS credentials are gone",
    "TopicAuthorization": f"{DENIED} Write (a producer) or Read (a consumer) on {NAME}",
    "InvalidTopic": f"Kafka does not allow the topic name {NAME}: see KAFKA_TOPIC",
    "GroupAuthorization": f"{DENIED} Read on the group of the consumer, {GROUP}",
    # For a user who may write to no topic; Kafka before 2.8 asks for IdempotentWrite, too.
    "ClusterAuthorization": f"{DENIED} Write on {NAME}",
    "]: Access denied": "access denied: ask for the IAM action kafka-cluster:Connect",
    "SaslAuthenticationFailed": "authentication failed: see KAFKA_SASL_PLAIN_…; a new key may"
    " need some minutes",
    "UnsupportedSaslMechanism": "it does not support this KAFKA_SASL_MECHANISM",
    "IllegalSaslState": "this listener does not use SASL: see KAFKA_SECURITY_PROTOCOL",
    "certificate has expired": "its certificate has expired",
    "failed: certificate revoked": "its certificate is revoked",
    " CRL ": "KAFKA_SSL_CRLFILE has no valid revocation list for its certificate",
    "is not yet valid": "its certificate is not valid yet: check this machine's clock",
    "ostname mismatch": "its certificate is for another host name",
    "address mismatch": "its certificate is for a host name, not for this address",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted: see KAFKA_SSL_CAFILE",
    "_ALERT_": "it refuses our certificate or TLS version: see KAFKA_SSL_CERTFILE",
    "InvalidTimestamp": "it rejects the timestamp: set this machine's clock",
    "OutOfOrderSequence": "Kafka has lost numbers that it had acknowledged",
    "InconsistentGroupProtocol": f"the group uses another protocol: {GROUP}",
    "GroupMaxSizeReached": f"the group has as many members as Kafka allows: {GROUP}",
    "InvalidGroupId": f"Kafka does not allow this group name: {GROUP}",
    "FencedInstanceId": "another consumer has this KAFKA_GROUP_INSTANCE_ID",
    "InvalidSessionTimeout": "Kafka does not allow this KAFKA_SESSION_TIMEOUT_MS",
    "SizeTooLarge": "a record is larger than KAFKA_MAX_REQUEST_SIZE or Kafka allows",
    "RecordListTooLarge": "a batch is larger than segment.bytes of the topic",
    "CorruptRecord": DAMAGED,
    "UnsupportedCompressionType": "Kafka does not know this KAFKA_COMPRESSION_TYPE",
    "PolicyViolation": "a policy of the cluster forbids it",
}

# Where retrying may help:
HOPEFUL = {
    "NotEnoughReplicas": "fewer replicas are in sync than min.insync.replicas asks for",
    "ReplicaNotAvailable": "a replica does not store it: its broker is missing or slow",
    "CoordinatorNotAvailable": "no coordinator: brokers are missing, or fewer than"
    " offsets.topic.replication.factor asks for",
    "CoordinatorLoadInProgress": "the group's coordinator is starting",
    "NotCoordinator": "the group's coordinator is moving",
    "BrokerNotAvailable": "all brokers are fenced, or not registered yet",
    "LeaderNotAvailable": "a partition has no leader: its brokers are missing",
    "NotLeaderForPartition": "a partition's leader is moving",
    "UnknownTopic": NO_TOPIC,
    "KafkaStorage": "a disk of the broker has failed",
    "UnstableOffsetCommit": "a transaction with offsets of the group is open",
    "RebalanceInProgress": "a member of the group has died, or is slow to rejoin",
    "ThrottlingQuotaExceeded": "over the quota that Kafka gives this user",
    "ECONNREFUSED": "connection refused",
    "DNS": "unknown host",
    "Handshake failed: KafkaTimeout": "no answer to a TLS handshake: not ready yet,"
    " or see KAFKA_SECURITY_PROTOCOL",
    "timed out": "no answer",
    "EOF": "this port does not use TLS, or is not ready: see KAFKA_SECURITY_PROTOCOL",
    "WRONG_VERSION_NUMBER": "this port does not use TLS: see KAFKA_SECURITY_PROTOCOL",
    "frame length: 352518": "this port uses TLS: see KAFKA_SECURITY_PROTOCOL",
    "frame length": "not a Kafka broker",
    "CorrelationId": NOT_KAFKA,
    "Unable to decode": NOT_KAFKA,
    "disconnected": CLOSED,
    "ECONNRESET": CLOSED,
    "reset by peer": CLOSED,
    "Handshake failed: [SSL": "this port does not use TLS, or shares no version or cipher with us",
}


def describe(error: Exception) -> tuple[str, bool]:
    """What went wrong, in a few words for a person, and whether retrying cannot help."""
    text = f"{type(error).__name__}: {error}"
    for meanings in (FINAL, HOPEFUL):
        for sign, meaning in meanings.items():
            if sign in text:
                return meaning + details(meaning, text), meanings is FINAL
    of_a_setting = not isinstance(error, KafkaError)
    return (text if of_a_setting else str(error)).rstrip("."), of_a_setting


def details(meaning: str, text: str) -> str:
    """What else the text of an error tells a person; often nothing."""
    if meaning == LACKS and (found := REQUEST.search(text)):
        return f": {found[1]}"
    if meaning == DAMAGED and (found := PLACE.search(text)):
        place = f"partition {found[1]}, offset {found[2]}"
        return f": {place}. Kafka's kafka-consumer-groups --reset-offsets can skip it"
    return ""


def is_transient(error: Exception) -> bool:
    """Whether the same attempt may succeed later."""
    return getattr(error, "retriable", False) or isinstance(error, TRANSIENT)
