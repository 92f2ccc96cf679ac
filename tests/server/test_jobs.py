"""The queue on SQLite and on PostgreSQL: order, leases, fences, publication, faults."""

import threading

import pytest

from khayal.errors import KhayalError
from khayal.server.database import Database
from khayal.server.folders import DataFolder
from khayal.server.job import NewJob, new_id
from khayal.server.jobs import MAX_ATTEMPTS, ClockWatch, JobStore, LeaseWatch, QueueFull


@pytest.fixture
def store(database, folder):
    return JobStore(database, folder)


def new(**changes):
    given = {
        "id": new_id("video"),
        "owner": "me",
        "api": "videos",
        "task": "generate",
        "model": "",
        "prompt": "a ball",
    }
    return NewJob(**{**given, "request": {"task": "generate", "fields": {"prompt": "a ball"}}, **changes})


def claim(store, worker="w"):
    claimed = store.claim(worker)
    assert claimed is not None
    return claimed


def made(store, lease, text="video"):
    work = store.folder.work(lease.job_id, lease.fence)
    work.mkdir()
    (work / "video.mp4").write_text(text)
    return work


def test_jobs_are_taken_in_the_order_in_which_they_came(store):
    ids = [store.submit(new()).id for _ in range(3)]
    assert [store.place(store.find(job_id)) for job_id in ids] == [0, 1, 2]
    first, lease = claim(store)
    store.give_back(lease, "it was slow", is_counted=False)  # and goes back to its own place
    assert [claim(store)[0].id for _ in ids] == ids
    assert store.claim("w") is None
    assert first.status == "running"


def test_many_workers_never_hold_the_same_job(store):
    ids = {store.submit(new()).id for _ in range(24)}
    taken = []

    def work():
        while (claimed := store.claim(threading.current_thread().name)) is not None:
            taken.append(claimed[0].id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(ids)
    assert set(taken) == ids


def test_a_job_is_published_once_and_whole(store):
    job = store.submit(new())
    _, lease = claim(store)
    assert store.step(lease, "denoise", 1, 2, progress=40) == "go on"
    assert store.find(job.id).progress == 40
    assert store.publish(lease, made(store, lease), {"seed": 7})
    done = store.find(job.id)
    assert (done.status, done.progress, done.result, done.num_bytes) == ("completed", 100, {"seed": 7}, 5)
    assert (store.folder.result(job.id) / "video.mp4").read_text() == "video"
    assert not store.folder.work(job.id, lease.fence).exists()
    assert store.step(lease, "decode", 1, 1, progress=40) == "lost"


def test_only_the_newest_holder_publishes(store):
    job = store.submit(new())
    _, old = claim(store, "slow")
    store.give_back(old, "it made no sign of life")
    _, newer = claim(store, "fast")
    assert newer.fence > old.fence
    assert not store.renew(old)
    assert store.step(old, "denoise", 1, 2, progress=40) == "lost"
    assert not store.publish(old, made(store, old, "stale"), {})
    store.fail(old, "generation_failed", "")
    assert store.publish(newer, made(store, newer, "fresh"), {})
    assert (store.folder.result(job.id) / "video.mp4").read_text() == "fresh"
    assert not store.publish(old, store.folder.work(job.id, old.fence), {})


def test_what_was_renamed_but_not_recorded_is_made_again(store, monkeypatch):
    job = store.submit(new())
    _, lease = claim(store)
    work = made(store, lease, "first")
    monkeypatch.setattr(store, "_end", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.publish(lease, work, {})
    monkeypatch.undo()
    assert store.find(job.id).status == "running"
    store.give_back(lease, "it was killed")
    _, again = claim(store)
    assert store.publish(again, made(store, again, "second"), {})
    assert (store.folder.result(job.id) / "video.mp4").read_text() == "second"


def test_after_three_tries_a_job_fails_with_a_code(store):
    job = store.submit(new())
    for _ in range(MAX_ATTEMPTS):
        _, lease = claim(store)
        store.give_back(lease, "its worker was killed by signal 9")
    failed = store.find(job.id)
    assert (failed.status, failed.error_code) == ("failed", "worker_lost")
    assert "signal 9" in failed.error_message
    assert store.claim("w") is None


def test_cancelling_ends_what_waits_and_stops_what_runs(store):
    waiting, running = store.submit(new()), None
    store.cancel(waiting.id)
    assert store.find(waiting.id).error_code == "cancelled"
    running = store.submit(new())
    _, lease = claim(store)
    store.cancel(running.id)
    assert store.step(lease, "denoise", 1, 2, progress=40) == "cancelled"
    assert not store.publish(lease, made(store, lease), {}), "what was cancelled is not given out"
    store.fail(lease, "cancelled", "The video was cancelled.")
    assert store.find(running.id).status == "failed"


def test_a_queue_has_an_end_for_each_key(store):
    for _ in range(2):
        store.submit(new(), max_queued=2)
    with pytest.raises(QueueFull):
        store.submit(new(), max_queued=2)
    store.submit(new(owner="another"), max_queued=2)


def test_a_request_that_is_sent_twice_is_one_job(store):
    first = store.submit(new(once="abc"))
    assert store.submit(new(once="abc")).id == first.id
    assert store.submit(new(once="abc", owner="another")).id != first.id


def test_pages_follow_one_another_in_both_directions(store):
    ids = [store.submit(new(prompt=f"ball {index}")).id for index in range(5)]
    store.submit(new(owner="another"))
    for newest_first in (True, False):
        seen, after, has_more = [], None, True
        while has_more:
            page, has_more = store.page("me", after=after, limit=2, newest_first=newest_first)
            seen += [job.id for job in page]
            after = page[-1].number
        assert seen == (ids[::-1] if newest_first else ids)
    found, _ = store.page("me", after=None, limit=9, newest_first=True, search="BALL 3")
    assert [job.id for job in found] == [ids[3]]


def test_expired_videos_leave_the_disk_and_keep_their_row(database, folder):
    store = JobStore(database, folder, now=lambda: 1000.0, keep_seconds=60)
    job = store.submit(new())
    _, lease = claim(store)
    assert store.publish(lease, made(store, lease), {})
    assert store.find(job.id).expires_at == 1060
    assert store.expire() == 0
    later = JobStore(database, folder, now=lambda: 1061.0)
    assert later.expire() == 1
    assert not folder.result(job.id).exists()
    assert store.find(job.id).is_expired
    assert later.expire() == 0


def test_a_deleted_job_leaves_nothing(store):
    job = store.submit(new())
    assert not store.delete(job.id), "it is not over"
    _, lease = claim(store)
    assert store.publish(lease, made(store, lease), {})
    assert store.delete(job.id)
    assert store.find(job.id) is None
    assert not store.folder.result(job.id).exists()


def test_a_lease_lapses_by_a_steady_clock_only(store):
    """The time of day may jump: only a beat that stands still counts."""
    clock = [0.0]
    watch = LeaseWatch(30, clock=lambda: clock[0])
    store.submit(new())
    _, lease = claim(store)
    assert watch.lapsed(store.running()) == []
    clock[0] = 29
    assert store.renew(lease)
    assert watch.lapsed(store.running()) == []
    clock[0] = 58
    assert watch.lapsed(store.running()) == []
    clock[0] = 60
    assert watch.lapsed(store.running()) == [lease]


def test_a_clock_that_jumps_changes_no_order(database, folder):
    times = iter([1000.0, 5.0, 9e9])
    store = JobStore(database, folder, now=lambda: next(times, 0.0))
    ids = [store.submit(new()).id for _ in range(3)]
    assert [claim(store)[0].id for _ in ids] == ids


def test_nothing_expires_by_a_clock_that_has_just_jumped():
    clock, now = [0.0], [1e9]
    watch = ClockWatch(clock=lambda: clock[0], now=lambda: now[0])

    def later(seconds, jump=0.0):
        clock[0] += seconds
        now[0] += seconds + jump
        return watch.is_steady()

    assert later(5)
    assert not later(5, jump=1e8)
    assert not later(3000)
    assert not later(5, jump=-1e8), "and back again"
    assert not later(3000)
    assert later(700)


def test_strays_of_killed_processes_are_removed(store):
    job = store.submit(new())
    _, lease = claim(store)
    assert store.publish(lease, made(store, lease), {})
    for stray in ("results/video_x", "inputs/video_y", "work/video_z.1"):
        (store.folder.path / stray).mkdir()
    finished, waiting = store.kept()
    store.folder.drop_strays(finished=finished, waiting=waiting, characters=[])
    left = [p.name for name in ("results", "inputs", "work") for p in (store.folder.path / name).iterdir()]
    assert left == [job.id]


def test_a_data_folder_has_one_server(tmp_path):
    first, second = DataFolder(tmp_path), DataFolder(tmp_path)
    first.lock()
    with pytest.raises(KhayalError, match="Another server"):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


def test_a_damaged_database_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "khayal.db"
    Database(f"sqlite:///{path}").close()
    path.write_bytes(b"SQLite format 3\0" + b"\x7f" * 4096)
    for rest in tmp_path.glob("khayal.db-*"):
        rest.unlink()
    with pytest.raises(KhayalError, match=r"database .* (cannot be used|is damaged)"):
        Database(f"sqlite:///{path}")


@pytest.mark.parametrize("url", ["nonsense", "postgresql://nobody@/x?host=/nowhere", "oracle://x"])
def test_a_database_that_is_not_there_is_refused_in_a_sentence(url):
    with pytest.raises(KhayalError, match="database"):
        Database(url)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 200])
def test_no_name_leads_out_of_the_folder(folder, name):
    for path in (folder.result, folder.inputs, folder.character):
        with pytest.raises(KeyError):
            path(name)
