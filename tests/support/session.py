"""Scripts on one topic and in one group, which end with the test."""

from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.support.account import account
from tests.support.process import InTerminal, Running, eventually, script, settings_for

Started = TypeVar("Started", bound=Running)


class Session:
    """Scripts on a topic and in a group of the same name; `full`: faults have full length.

    `end_with_test` is the fixture `add`.
    """

    def __init__(self, servers: str, topic: str, full: bool, end_with_test: Callable) -> None:
        self.servers, self.topic, self.full = servers, topic, full
        self.end_with_test = end_with_test
        self.settings: dict[str, str] = {}
        self.all: list[Running] = []

    def run(self, name: str, **settings) -> Running:
        """A script, killed with the test."""
        return self.add(script(name, self.servers, self.topic, **self.settings | settings))

    def in_terminal(self, name: str, **settings: str) -> InTerminal:
        """A script in a terminal, killed with the test."""
        env = settings_for(self.servers, self.topic)
        return self.add(InTerminal(name, env | self.settings | settings))

    def add(self, one: Started) -> Started:
        """Have a process killed with the test."""
        self.all.append(one)
        return self.end_with_test(one)

    @cached_property
    def admin(self) -> AdminClient:
        """An independent client for the administration."""
        return AdminClient({"bootstrap.servers": self.servers, "log_level": 0})

    def members(self) -> int:
        """How many members the group has, as the broker sees it."""
        groups = self.admin.describe_consumer_groups([self.topic], request_timeout=10)
        return len(groups[self.topic].result().members)

    def committed(self) -> int:
        """The offset that the group has committed."""
        asked = ConsumerGroupTopicPartitions(self.topic, [TopicPartition(self.topic, 0)])
        answer = self.admin.list_consumer_group_offsets([asked], request_timeout=10)
        return answer[self.topic].result().topic_partitions[0].offset

    def settle(self, *consumers: Running, twice_allowed: int = 0) -> None:
        """Stop the producers and account for every number."""
        producers = [one for one in self.all if one not in consumers]
        account(producers, list(consumers), self.servers, self.topic, twice_allowed)
        assert not any(one.find("Traceback") for one in self.all)


def goes_on(one: Running, seconds: float) -> None:
    """Return when the script has printed something new."""
    count = len(one.out)
    eventually(lambda: len(one.out) > count, seconds, "something new from", one)
