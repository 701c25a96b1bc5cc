"""Producer A: writes the even numbers to the topic "numbers", one every second."""

from producer_utils import produce

if __name__ == "__main__":
    produce(sleep_time=1, even=True)
