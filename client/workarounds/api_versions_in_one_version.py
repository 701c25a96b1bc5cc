"""A client never connects where a broker or proxy closes the connection over a newer ApiVersions.

3.0.12: net/connection.py:60 asks with the newest version, and again with an older one only where
the broker answers so. The development branch does the same. The oldest version, which every broker
knows, has the same answer.
To reproduce: a proxy that closes the connection where it sees an ApiVersions request of version 4.
"""

from kafka.protocol.metadata import ApiVersionsRequest

ApiVersionsRequest.max_version = 0
