"""Durable jobs. What a server promised is in the database, and survives the death of every process.

A job is held by one worker at a time. Each claim raises the job's *fence*; whatever a holder writes, it
writes only while the fence is its own, so that a holder that was given up cannot publish. A *lease* is a
counter, `beat`, that its holder raises: who sees it stand still for long enough, by a steady clock of its
own, takes the job back. No two clocks are ever compared, so a clock that jumps does no harm.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from khayal.server.database import Database, events, jobs
from khayal.server.folders import DataFolder, size_of, sync
from khayal.server.job import COMPLETED, FAILED, QUEUED, RUNNING, Job, Lease, NewJob, new_id

MAX_ATTEMPTS = 3

# what clients ask again and again is put together once
_BY_ID = sa.select(jobs).where(jobs.c.id == sa.bindparam("job"))
_OWN = _BY_ID.where(jobs.c.owner == sa.bindparam("whose"))


class QueueFull(Exception):  # noqa: N818 - it is an answer
    """The owner has too many jobs that are not over."""


class JobStore:
    """The queue, and everything that was ever in it.

    Args:
        database: where rows are kept.
        folder: where files are kept.
        now: seconds since 1970, only ever shown to people and compared with `expires_at`.
        keep_seconds: how long the files of a finished video are kept; None for ever.
    """

    def __init__(
        self,
        database: Database,
        folder: DataFolder,
        *,
        now: Callable[[], float] = time.time,
        keep_seconds: float | None = None,
    ) -> None:
        self.database, self.folder = database, folder
        self._now, self._keep_seconds = now, keep_seconds

    # --- what clients do

    def submit(self, new: NewJob, *, max_queued: int | None = None) -> Job:
        """Put a job at the end of the queue; one with a known `once` is the one that is there already.

        Raises:
            QueueFull: the owner has `max_queued` jobs that are not over.
        """
        row = {
            **new.__dict__,
            "status": QUEUED,
            "is_cancelled": False,
            "attempts": 0,
            "fence": 0,
            "beat": 0,
            "progress": 0,
            "created_at": self._now(),
            "is_expired": False,
        }
        try:
            with self.database.writing() as tx:
                if max_queued is not None and _count_open(tx, new.owner) >= max_queued:
                    raise QueueFull
                tx.execute(jobs.insert().values(**row))
        except IntegrityError:
            known = self.find_once(new.owner, new.once)
            if known is None:
                raise
            return known
        job = self.find(new.id)
        assert job is not None
        return job

    def find(self, job_id: str, owner: str | None = None) -> Job | None:
        """A job by its id, of any owner where none is named."""
        query, named = (_BY_ID, {"job": job_id}) if owner is None else (_OWN, {"job": job_id, "whose": owner})
        with self.database.reading() as tx:
            return _job(tx.execute(query, named).first())

    def find_once(self, owner: str, once: str | None) -> Job | None:
        """The job that a client named itself."""
        if once is None:
            return None
        with self.database.reading() as tx:
            return _job(tx.execute(sa.select(jobs).where(jobs.c.owner == owner, jobs.c.once == once)).first())

    def page(
        self, owner: str, *, after: int | None, limit: int, newest_first: bool, search: str = ""
    ) -> tuple[list[Job], bool]:
        """The jobs that follow number `after`, and whether there are more."""
        query = sa.select(jobs).where(jobs.c.owner == owner)
        if after is not None:
            query = query.where(jobs.c.number < after if newest_first else jobs.c.number > after)
        if search:
            query = query.where(jobs.c.prompt.icontains(search, autoescape=True))
        order = jobs.c.number.desc() if newest_first else jobs.c.number
        with self.database.reading() as tx:
            rows = tx.execute(query.order_by(order).limit(limit + 1)).all()
        return [Job(**row._mapping) for row in rows[:limit]], len(rows) > limit

    def place(self, job: Job) -> int:
        """How many jobs are before it in the queue."""
        query = sa.select(sa.func.count()).where(jobs.c.status == QUEUED, jobs.c.number < job.number)
        with self.database.reading() as tx:
            return int(tx.execute(query).scalar_one())

    def num_bytes(self) -> int:
        """What finished videos and waiting uploads take."""
        with self.database.reading() as tx:
            return int(tx.execute(sa.select(sa.func.coalesce(sa.func.sum(jobs.c.num_bytes), 0))).scalar_one())

    def cancel(self, job_id: str) -> None:
        """A job that waits is over at once; one that runs stops at its next step; one that is over stays."""
        with self.database.writing() as tx:
            row = tx.execute(sa.select(jobs).where(jobs.c.id == job_id).with_for_update()).first()
            if row is None or row.status in (COMPLETED, FAILED):
                return
            if row.status == QUEUED:
                self._end(tx, row, FAILED, code="cancelled", message="The video was cancelled.")
            else:
                tx.execute(jobs.update().where(jobs.c.id == job_id).values(is_cancelled=True))
        self._drop_inputs_if_over(job_id)

    def delete(self, job_id: str) -> bool:
        """Remove a job that is over, with its files; False where it is not over, or not there."""
        with self.database.writing() as tx:
            is_over = jobs.c.status.in_((COMPLETED, FAILED))
            if not tx.execute(jobs.delete().where(jobs.c.id == job_id, is_over)).rowcount:
                return False
            tx.execute(events.delete().where(events.c.job_id == job_id, events.c.next_at.is_(None)))
        self.folder.drop(self.folder.result(job_id), self.folder.inputs(job_id))
        return True

    # --- what workers do

    def claim(self, worker: str, models: Iterable[str] | None = None) -> tuple[Job, Lease] | None:
        """The first job of the queue, or None where there is none."""
        first = sa.select(jobs.c.number).where(jobs.c.status == QUEUED)
        if models is not None:
            first = first.where(jobs.c.model.in_(list(models)))
        first = first.order_by(jobs.c.number).limit(1)
        with self.database.reading() as tx:  # most looks find nothing, and should not make others wait
            if tx.execute(first).first() is None:
                return None
        with self.database.writing() as tx:
            number = tx.execute(first.with_for_update(skip_locked=True)).scalar_one_or_none()
            if number is None:
                return None
            claimed = {
                "status": RUNNING,
                "worker": worker,
                "started_at": self._now(),
                "progress": 0,
                "beat": 0,
            }
            counted = {"fence": jobs.c.fence + 1, "attempts": jobs.c.attempts + 1}
            steps = {"stage": None, "step": None, "num_steps": None}
            tx.execute(jobs.update().where(jobs.c.number == number).values(**claimed, **counted, **steps))
            job = _job(tx.execute(sa.select(jobs).where(jobs.c.number == number)).first())
        assert job is not None
        return job, Lease(job_id=job.id, fence=job.fence)

    def renew(self, lease: Lease) -> bool:
        """Say that the holder lives; False where it holds the job no longer."""
        with self.database.writing() as tx:
            return bool(tx.execute(_held(lease).values(beat=jobs.c.beat + 1)).rowcount)

    def step(self, lease: Lease, stage: str, step: int, num_steps: int, *, progress: int) -> str:
        """Take note of a step, and say "go on", "cancelled" or "lost"."""
        values: dict[str, Any] = {"stage": stage, "step": step, "num_steps": num_steps}
        values |= {"progress": progress, "beat": jobs.c.beat + 1}
        with self.database.writing() as tx:
            row = tx.execute(_held(lease).values(**values).returning(jobs.c.is_cancelled)).first()
        return "lost" if row is None else "cancelled" if row.is_cancelled else "go on"

    def publish(self, lease: Lease, made: Path, result: Mapping[str, Any]) -> bool:
        """Give out what was made: the rename, then the row, in one transaction that only the holder gets.

        A process that dies between the two leaves a row that still runs: the job is made again, and what
        lies there is replaced.

        Args:
            lease: of who made it.
            made: the folder, in the same file system as the results.
            result: what is to be remembered of it.

        Returns:
            False where the job is another's by now, or was cancelled: nothing is given out.
        """
        sync(made)
        num_bytes = size_of(made)
        target = self.folder.result(lease.job_id)
        with self.database.writing() as tx:
            row = tx.execute(_holding(lease).where(jobs.c.is_cancelled.is_(False)).with_for_update()).first()
            if row is None:
                return False
            self.folder.drop(target)
            os.rename(made, target)
            sync(target.parent)
            self._end(tx, row, COMPLETED, result=dict(result), num_bytes=num_bytes)
        self.folder.drop(self.folder.inputs(lease.job_id))
        return True

    def fail(self, lease: Lease, code: str, message: str) -> None:
        """End a job without a video, if it is still the holder's."""
        with self.database.writing() as tx:
            row = tx.execute(_holding(lease).with_for_update()).first()
            if row is not None:
                self._end(tx, row, FAILED, code=code, message=message)
        self._drop_inputs_if_over(lease.job_id)

    # --- what the server does about workers that are gone

    def running(self) -> list[Job]:
        """The jobs that somebody holds."""
        with self.database.reading() as tx:
            return [
                Job(**row._mapping) for row in tx.execute(sa.select(jobs).where(jobs.c.status == RUNNING))
            ]

    def give_back(self, lease: Lease, why: str, *, is_counted: bool = True) -> None:
        """Put a held job back into its place in the queue; after three tries it fails.

        Args:
            lease: of the holder that is gone.
            why: what became of it, for the error message.
            is_counted: False where the job had no part in it, such as a server that is ended in order.
        """
        with self.database.writing() as tx:
            row = tx.execute(_holding(lease).with_for_update()).first()
            if row is None:
                return
            if row.is_cancelled:
                self._end(tx, row, FAILED, code="cancelled", message="The video was cancelled.")
            elif is_counted and row.attempts >= MAX_ATTEMPTS:
                message = f"It was tried {row.attempts} times. The last time, {why}."
                self._end(tx, row, FAILED, code="worker_lost", message=message)
            else:
                again: dict[str, Any] = {"status": QUEUED, "worker": None, "progress": 0, "stage": None}
                again |= {"fence": jobs.c.fence + 1}  # whoever still works on it holds it no longer
                again |= {} if is_counted else {"attempts": jobs.c.attempts - 1}
                tx.execute(jobs.update().where(jobs.c.number == row.number).values(**again))
        self.folder.drop(self.folder.work(lease.job_id, lease.fence))
        self._drop_inputs_if_over(lease.job_id)

    def give_back_all(self, workers: str, why: str, *, is_counted: bool = True) -> None:
        """`give_back` for all that is held by workers whose names begin so."""
        for job in self.running():
            if (job.worker or "").startswith(workers):
                lease = Lease(job_id=job.id, fence=job.fence)
                self.give_back(lease, why, is_counted=is_counted)

    def expire(self) -> int:
        """Remove the files of videos whose time is over; their rows stay. Returns how many."""
        with self.database.writing() as tx:
            is_due = sa.and_(jobs.c.expires_at <= self._now(), jobs.c.is_expired.is_(False))
            ids = list(tx.execute(sa.select(jobs.c.id).where(is_due)).scalars())
            if ids:
                changed = {"is_expired": True, "num_bytes": 0}
                tx.execute(jobs.update().where(jobs.c.id.in_(ids)).values(**changed))
        for job_id in ids:
            self.folder.drop(self.folder.result(job_id))
        return len(ids)

    def kept(self) -> tuple[list[str], list[str]]:
        """The ids of jobs that have a result, and of those that may still need what they were given."""
        with self.database.reading() as tx:
            has_files = sa.and_(jobs.c.status == COMPLETED, jobs.c.is_expired.is_(False))
            finished = tx.execute(sa.select(jobs.c.id).where(has_files)).scalars().all()
            open_ones = jobs.c.status.in_((QUEUED, RUNNING))
            waiting = tx.execute(sa.select(jobs.c.id).where(open_ones)).scalars().all()
        return list(finished), list(waiting)

    def _end(
        self,
        tx: sa.Connection,
        row: Any,
        status: str,
        *,
        code: str | None = None,
        message: str | None = None,
        result: dict[str, Any] | None = None,
        num_bytes: int = 0,
    ) -> None:
        """The last change of a row, and the event that tells of it."""
        now = self._now()
        ended: dict[str, Any] = {
            "status": status,
            "completed_at": now,
            "num_bytes": num_bytes,
            "result": result,
        }
        ended |= {"error_code": code, "error_message": message}
        if status == COMPLETED:
            ended |= {"progress": 100}
            ended |= {} if self._keep_seconds is None else {"expires_at": now + self._keep_seconds}
        tx.execute(jobs.update().where(jobs.c.number == row.number).values(**ended))
        told = {"id": new_id("evt"), "job_id": row.id, "type": f"video.{status}", "attempts": 0}
        tx.execute(events.insert().values(**told, created_at=now, next_at=now))

    def _drop_inputs_if_over(self, job_id: str) -> None:
        job = self.find(job_id)
        if job is not None and job.is_over:
            self.folder.drop(self.folder.inputs(job_id))


class LeaseWatch:
    """Sees which held jobs make no sign of life, by a steady clock of its own.

    Args:
        lease_seconds: how long a beat may stand still.
        clock: seconds, rising, whatever the time of day does.
    """

    def __init__(self, lease_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease_seconds, self._clock = lease_seconds, clock
        self._seen: dict[str, tuple[int, int, float]] = {}

    def lapsed(self, running: Iterable[Job]) -> list[Lease]:
        """The leases whose beat has not moved for too long since it was first seen as it is."""
        now, seen = self._clock(), {}
        for job in running:
            fence, beat, since = self._seen.get(job.id, (job.fence, job.beat, now))
            seen[job.id] = (job.fence, job.beat, since if (fence, beat) == (job.fence, job.beat) else now)
        self._seen = seen
        late = {job_id for job_id, (_, _, since) in seen.items() if now - since >= self._lease_seconds}
        return [Lease(job_id=job_id, fence=seen[job_id][0]) for job_id in late]


class ClockWatch:
    """Sees the time of day jump, so that nothing is thrown away by a clock that is wrong for a while.

    Args:
        clock: seconds, rising.
        now: seconds since 1970, by the clock that may jump.
    """

    _JUMP_SECONDS, _DOUBT_SECONDS = 60.0, 3600.0

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time
    ) -> None:
        self._clock, self._now = clock, now
        self._apart = now() - clock()
        self._trusted_from = float("-inf")

    def is_steady(self) -> bool:
        """False for an hour after each jump."""
        clock, apart = self._clock(), self._now() - self._clock()
        if abs(apart - self._apart) > self._JUMP_SECONDS:
            self._trusted_from = clock + self._DOUBT_SECONDS
        self._apart = apart
        return clock >= self._trusted_from


def _count_open(tx: sa.Connection, owner: str) -> int:
    query = sa.select(sa.func.count()).where(jobs.c.owner == owner, jobs.c.status.in_((QUEUED, RUNNING)))
    return int(tx.execute(query).scalar_one())


def _is_held(lease: Lease) -> Any:
    return sa.and_(jobs.c.id == lease.job_id, jobs.c.fence == lease.fence, jobs.c.status == RUNNING)


def _held(lease: Lease) -> Any:
    return jobs.update().where(_is_held(lease))


def _holding(lease: Lease) -> Any:
    return sa.select(jobs).where(_is_held(lease))


def _job(row: Any) -> Job | None:
    return None if row is None else Job(**row._mapping)
