"""What kafka_utils.py is built on; nothing else imports it."""
