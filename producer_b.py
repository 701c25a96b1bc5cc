"""Producer B: writes the odd numbers to the topic "numbers", one every two seconds."""

from producer_utils import produce

if __name__ == "__main__":
    produce(sleep_time=2, even=False)
