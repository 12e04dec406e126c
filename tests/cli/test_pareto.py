"""`untrained pareto`, on cached scores and live."""

import json

import pandas as pd

from untrained import pareto


def test_the_command_prints_the_front_and_writes_what_was_evaluated(untrained, tmp_path):
    words = ["nasbench201", "--objective", "naswot", "--objective", "latency[raspi4]"]
    words += ["--evaluations", "40", "--runs", "2", "--seed", "3", "--quiet"]
    code, out, err = untrained("pareto", *words, "--out", str(tmp_path / "trace.parquet"))
    assert (code, err) == (0, "")
    found = pareto("nasbench201", ["naswot", "latency[raspi4]"], evaluations=40, runs=2, seed=3)
    assert f"The front: {len(found.front())} of 40 evaluated cells" in out
    assert "naswot, higher is better; latency[raspi4] (ms), lower is better" in out
    assert "not seen: test %" in out
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "trace.parquet"), found.trace)
    code, out, err = untrained("pareto", *words, "--json")
    answer = json.loads(out)
    assert answer["objectives"] == {"naswot": "higher", "latency[raspi4]": "lower"}
    assert [row["arch"] for row in answer["front"]] == found.front()["arch"].tolist()
    assert answer["evaluations"] == [40, 40]
    assert answer["hypervolume"] == found.hypervolumes([40])[:, 0].tolist()
    code, _, err = untrained("pareto", *words, "--score-seeds", "2")
    assert (code, err.count("\n")) == (2, 1)
    assert "--score-seeds" in err


def test_of_an_objective_with_one_value_there_is_no_hypervolume(untrained):
    words = ["nasbench201", "--objective", "naswot", "--objective", "latency[raspi4]", "--quiet"]
    words += ["--where", "latency[edgetpu] < 0.3701 ms", "--evaluations", "10"]
    _, out, err = untrained("pareto", *words)
    assert err == ""
    assert out.endswith(
        "the hypervolume of all 78 cells is 0: naswot has no two values among them\n"
    )


def test_a_live_search_resumes_with_what_it_has_scored(untrained, tmp_path):
    words = ["nasbench201", "--live", "--objective", "l2_norm", "--quiet"]
    words += ["--objective", "latency[raspi4]", "--evaluations", "12", "--json"]
    out = tmp_path / "trace.parquet"
    answers = [json.loads(untrained("pareto", *words, "--out", str(out))[1]) for _ in range(2)]
    assert [(one["scored"], one["resumed"]) for one in answers] == [(12, 0), (0, 12)]
    assert answers[0]["front"] == answers[1]["front"]
    assert "hypervolume" not in answers[0]
    trace = pd.read_parquet(out)
    assert trace["l2_norm"].nunique() > 6
    assert trace.loc[trace["on_front"], "arch"].tolist() != []
