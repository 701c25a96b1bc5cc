"""What each script does where it lacks an ACL."""

import re

import pytest

from tests.support.kraft import BACK, CREATE, ELSEWHERE, JOIN, READ, SIZE, WRITE

# What a user lacks: the script, its ACLs, whether the topic exists, and what is said.
DENIED = {
    "any ACL": ("producer_a.py", [], True, r'Write .* on "{topic}"'),
    "writing": ("producer_b.py", [READ], True, r'rejected number 1: .* Write on "{topic}"'),
    "writing here": ("producer_b.py", [READ, ELSEWHERE], True, r'Write .* on "{topic}"'),
    "reading": ("consumer_c.py", [WRITE, JOIN], True, r'Read .* on "{topic}"'),
    "the group": ("consumer_c.py", [READ], True, "Read on the group .* KAFKA_GROUP_ID"),
    "topic and any ACL": ("consumer_c.py", [JOIN], False, r'Read .* on "{topic}"'),
    "topic and creating": ("producer_a.py", [WRITE], False, 'no topic "{topic}".* Create on it'),
}


@pytest.mark.parametrize("lacking", DENIED)
def test_a_missing_acl_is_named_and_ends_the_script(lacking, kraft, run, topic):
    name, acls, exists, sentence = DENIED[lacking]
    if exists:
        kraft.create(topic)
    user = "bob" if JOIN in acls else "carol" if ELSEWHERE in acls else "nobody"
    kraft.allow(user, topic, *acls)
    one = run(name, KAFKA_GROUP_ID="consumer_c", **kraft.as_user(user))
    assert one.ended(BACK) == 1
    assert one.out == [] and not one.find("Traceback"), one
    said = [line for line in one.err if re.search("denied|may not create", line)]
    assert len(said) == 1 and re.search(sentence.format(topic=re.escape(topic)), said[0]), one
    assert said[0].endswith("."), one


def test_with_the_acl_to_create_it_a_missing_topic_is_created(kraft, run, topic):
    kraft.allow("alice", topic, WRITE, CREATE)
    a = run("producer_a.py", **kraft.as_user("alice"))
    a.said("A: 0 ", BACK)
    assert a.stop() == 0
    partition = kraft.admin.list_topics(topic, timeout=20).topics[topic].partitions[0]
    assert len(partition.replicas) == SIZE  # the cluster's own default
