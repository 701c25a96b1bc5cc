"""The picture of README.md, by the recording that it is drawn from."""

import json
import re
from collections.abc import Iterator

import pyte

from tests.support.process import PROJECT

CAST, PICTURE = PROJECT / "docs" / "numbers.cast", PROJECT / "docs" / "numbers.gif"


def recording() -> str:
    """What the recorded terminal printed, without colours and movements of the cursor."""
    _, *events = CAST.read_text().splitlines()
    output = "".join(data for _, kind, data in map(json.loads, events) if kind == "o")
    return re.sub(r"\x1b(\[[0-9;?>]*[a-zA-Z]|[()].|[=>78M])", "", output)


def test_the_picture_shows_no_error_and_nobodys_machine():
    shown = recording()
    assert "Stopped." in shown
    for wrong in ("Traceback", "ERROR", "FATAL", "command not found", "No such", "unknown command"):
        assert wrong not in shown
    assert not re.search(
        r"/root\b|/home/\w|/Users/\w|(user|host|os)\.(name|version)=", CAST.read_text()
    )


class Screen(pyte.Screen):
    """A screen that also scrolls by several lines, as tmux has a terminal do."""

    def scroll_up(self, count: int = 1) -> None:
        """Move the lines within the margins up."""
        row = self.cursor.y
        self.cursor.y = self.margins.bottom if self.margins else self.lines - 1
        for _ in range(count or 1):
            self.index()
        self.cursor.y = row


class Stream(pyte.Stream):
    """What such a screen is given."""

    csi = pyte.Stream.csi | {"S": "scroll_up"}
    events = pyte.Stream.events | {"scroll_up"}


def screens() -> Iterator[str]:
    """What the recorded terminal showed, from one piece of output to the next, while attached."""
    header, *events = map(json.loads, CAST.read_text().splitlines())
    screen = Screen(header["width"], header["height"])
    stream = Stream(screen)
    for output in (data for _, kind, data in events if kind == "o"):
        if "\x1b[?1049l" in output:  # detached
            return
        stream.feed(output)
        yield "\n".join(screen.display)


def numbers_in(screen: str, key: str, acknowledged: bool) -> list[int]:
    """The numbers of a producer on a screen, in its own tile or in C's."""
    found = re.findall(rf"(?:^|│){key}: (\d+) ( \(partition)?", screen, re.M)
    return [int(number) for number, place in found if bool(place) == acknowledged]


def test_in_the_picture_kafka_is_killed_and_c_misses_no_number():
    shown = list(screens())
    tiles = [one for one in shown if "Producer A" in one]
    assert tiles[-1].count("is back") >= 3
    for key in "AB":
        enlarged = numbers_in(shown[-1], key, acknowledged=False)
        assert len(enlarged) > 5
        assert enlarged == list(range(enlarged[0], enlarged[-1] + 1, 2))
        sent = {number for one in tiles for number in numbers_in(one, key, acknowledged=True)}
        read = {number for one in shown for number in numbers_in(one, key, acknowledged=False)}
        assert sent >= set(range("AB".index(key), max(sent) + 1, 2))
        assert sent <= read


def test_the_picture_says_that_kafka_is_killed_only_while_a_prints_nothing():
    silent = [one for one in screens() if "Kafka is killed" in one and "Producer A" in one]
    printed = [numbers_in(one, "A", acknowledged=True) for one in silent]
    assert silent and max(printed) == printed[0]
    assert "no number of A or B is missing" in list(screens())[-1]


def test_the_picture_is_small_and_moves():
    picture = PICTURE.read_bytes()
    assert picture.startswith(b"GIF89a") and b"NETSCAPE2.0" in picture
    assert len(picture) < 1_000_000
