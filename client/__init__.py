"""What kafka_utils.py is built on: settings, messages, stopping, connecting, progress."""
