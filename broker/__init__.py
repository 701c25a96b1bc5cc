"""A pinned Apache Kafka with its ZooKeeper for one machine: installation, servers, commands."""
