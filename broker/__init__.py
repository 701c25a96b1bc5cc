"""The local Kafka and ZooKeeper, pinned and checked, and where they are kept."""

from pathlib import Path

BROKER = Path(__file__).resolve().parent
PROJECT = BROKER.parent
KAFKA = PROJECT / ".kafka"
