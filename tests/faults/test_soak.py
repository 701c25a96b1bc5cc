"""The long run; not part of the ordinary one: `tests/run -m soak`, `--seed` repeats one."""

import pytest

from tests.faults.soak import soak
from tests.support.cluster import Cluster

MINUTES = 10


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.timeout(60 * MINUTES + 300)
def test_ten_minutes_of_faults_drawn_at_random_cost_nothing(tmp_path, request, capsys):
    cluster = Cluster(tmp_path)
    try:
        report = soak(cluster, 60 * MINUTES, request.config.getoption("--seed"), tmp_path)
    finally:
        cluster.kill()
    with capsys.disabled():
        print(f"\n{report.table()}\nWhat each process said is in {tmp_path}.")
    assert not report.wrong, report.table()
