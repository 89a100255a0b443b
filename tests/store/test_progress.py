"""The progress line: counts from Snakemake's events, and an estimate by rule."""

import logging

import pytest

from store import progress


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def event(name, **fields):
    record = logging.makeLogRecord({"msg": "", "event": name})
    vars(record).update(fields)
    return record


def run_job(line, clock, jobid, rule, seconds):
    line.emit(event("job_info", jobid=jobid, rule_name=rule))
    clock[0] += seconds
    line.emit(event("job_finished", job_id=jobid))


def test_estimate_weighs_rules_by_their_own_mean(clock, capsys):
    line = progress.ProgressLine()
    line.emit(event("run_info", stats={"train": 3, "evaluate": 3, "total": 6}))
    run_job(line, clock, 1, "train", 20.0)
    assert line.seconds_left() == pytest.approx(2 * 20 + 3 * 20)
    run_job(line, clock, 2, "evaluate", 4.0)
    assert line.seconds_left() == pytest.approx(2 * 20 + 2 * 4)
    line.emit(event("job_info", jobid=3, rule_name="train"))
    clock[0] += 10.0
    line.emit(event("job_finished", job_id=3))
    assert "3 of 6 jobs done, about 23 s left" in capsys.readouterr().err


def test_no_estimate_where_most_of_what_is_left_was_never_timed(clock, capsys):
    line = progress.ProgressLine()
    line.emit(event("run_info", stats={"calibrate": 2, "train": 2, "total": 4}))
    run_job(line, clock, 1, "calibrate", 20.0)
    run_job(line, clock, 2, "train", 3600.0)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "1 of 4 jobs done"
    assert second.startswith("2 of 4 jobs done, about ")


def test_two_jobs_at_once_halve_the_time_left(clock):
    line = progress.ProgressLine()
    line.emit(event("run_info", stats={"train": 4, "total": 4}))
    line.emit(event("job_info", jobid=1, rule_name="train"))
    line.emit(event("job_info", jobid=2, rule_name="train"))
    clock[0] += 10.0
    line.emit(event("job_finished", job_id=1))
    line.emit(event("job_finished", job_id=2))
    assert line.seconds_left() == pytest.approx(10.0)


def test_last_job_is_always_reported_and_other_records_are_ignored(clock, capsys):
    line = progress.ProgressLine()
    line.emit(logging.makeLogRecord({"msg": "no event"}))
    line.emit(event("run_info", stats={"plot": 2, "total": 2}))
    run_job(line, clock, 1, "plot", 11.0)
    run_job(line, clock, 2, "plot", 0.1)
    assert capsys.readouterr().err.splitlines()[-1] == "2 of 2 jobs done"


@pytest.mark.parametrize(
    ("seconds", "text"), [(40, "40 s"), (700, "12 min"), (11_100, "3 h 05 min"), (5370, "1 h 30 min")]
)
def test_duration(seconds, text):
    assert progress.duration(seconds) == text
