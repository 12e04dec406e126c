"""`untrained measure`, and searches that read what it wrote."""

import json


def test_what_was_measured_constrains_a_search(untrained):
    candidates = [f"nasbench201/{index}" for index in (5, 1462)]
    asked = "--name", "mine", "--seconds", 0.02, "--out", "mine.parquet", "-q"
    code, out, err = untrained("measure", *candidates, *asked)
    assert code == 0, err
    first, *lines = out.splitlines()
    assert first.startswith("latency[mine]: ")
    assert [line.split()[0] for line in lines] == candidates
    code, out, _ = untrained("measure", *candidates, *asked, "--json")
    slowest = max(row["value"] for row in json.loads(out))
    where = "--where", f"latency[mine] <= {slowest + 1:g} ms", "--devices-table", "mine.parquet"
    code, out, err = untrained(
        *("search", "rs", "nasbench201", "--runs", 3, "--budget", "9evaluations", "-q", "--json"),
        *where,
    )
    assert code == 0, err
    found = json.loads(out)
    assert found["best"]["architecture"] in (5, 1462)
    assert found["where"] == where[1]


def test_a_network_that_fails_is_named(untrained):
    code, out, err = untrained("measure", "torch.nn:Conv2d", "torch.nn:Identity", "--seconds", 0.02)
    assert code == 1
    assert "failed: TypeError" in out
    assert err.splitlines()[-1] == "untrained: failed: torch.nn:Conv2d"


def test_bad_options_are_one_line(refused):
    refused(["measure", "nasbench201/5", "--threads", 0], "threads 0: a whole number, 1 or more")
    refused(["measure", "nasbench201/15625"], "index 15625 is not in nasbench201")
    refused(
        ["search", "rs", "nasbench201", "--where", "latency[mine] <= 1"],
        "unknown device of nasbench201 'mine'",
    )
    for where in ([], ["--where", "flops > 0"]):
        asked = ["search", "rs", "nasbench201", "--devices-table", "mine.parquet", *where]
        refused(asked, "mine.parquet is not read")
    asked = ["search", "rs", "nasbench201", "--where", "latency[mine] < 1"]
    refused([*asked, "--devices-table", "mine.parquet"], "mine.parquet does not exist")
