"""A pinned Apache Kafka with its ZooKeeper for one machine: install, start, talk to it."""
