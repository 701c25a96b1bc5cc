"""Producer A: writes the even numbers to the topic "numbers", one every second."""

import signal

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C waits until all is imported

from producer_utils import produce

if __name__ == "__main__":
    produce(sleep_time=1, even=True)
