"""Producer B: writes the odd numbers to the topic "numbers", one every two seconds."""

import signal

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C waits until all is imported

from producer_utils import produce

if __name__ == "__main__":
    produce(sleep_time=2, even=False)
