"""What the local platform remembers: deployments, revisions, commands and the story, in one SQLite
file.

The supervisor is the only writer of a deployment's state; the command line writes wishes
(deployments, commands). Each look of the supervisor is one transaction, so that a kill at any point
loses at most the look in progress, which is taken again.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from fairway import errors
from fairway.config import sections
from fairway.platforms.local.home import FILE_MODE
from fairway.rollout import record, states, traffic
from fairway.rollout.seen import Command

SCHEMA = """
CREATE TABLE IF NOT EXISTS deployments (
  name TEXT PRIMARY KEY, desired TEXT NOT NULL, config TEXT NOT NULL, state TEXT NOT NULL, generation INTEGER NOT NULL,
  retraining TEXT NOT NULL DEFAULT '{}', changed_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS revisions (
  revision TEXT PRIMARY KEY, deployment TEXT NOT NULL, package TEXT NOT NULL, digest TEXT NOT NULL, facts TEXT NOT NULL,
  config TEXT NOT NULL, note TEXT NOT NULL DEFAULT '', created_at REAL NOT NULL, lineage TEXT NOT NULL DEFAULT '{}');
CREATE TABLE IF NOT EXISTS commands (
  id INTEGER PRIMARY KEY AUTOINCREMENT, deployment TEXT NOT NULL, verb TEXT NOT NULL, who TEXT NOT NULL,
  why TEXT NOT NULL, force INTEGER NOT NULL, asked_at REAL NOT NULL, answer TEXT, obeyed INTEGER);
CREATE TABLE IF NOT EXISTS story (
  id INTEGER PRIMARY KEY AUTOINCREMENT, deployment TEXT NOT NULL, at REAL NOT NULL, type TEXT NOT NULL, revision TEXT,
  message TEXT NOT NULL);
"""
STORY_KEPT = 2000  # rows a deployment; the newest
S = TypeVar("S", bound=sections.Section)


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One deployment: what is asked for, and where it stands."""

    name: str
    desired: str  # revision
    config: dict[str, Any]  # sections.Config by alias
    state: states.State
    generation: int
    retraining: dict[str, Any]
    begun: dict[str, Any] | None = None  # sections.Strategy by alias that the rollout began with

    @property
    def policy(self) -> sections.Strategy:
        """Return the strategy in force: a rollout ends by the strategy that it began with."""
        return _section(sections.Strategy, self._in_force, what="strategy", of=self.name)

    @property
    def route(self) -> traffic.Route | None:
        """Return the route that the state asks for, whatever becomes of guards.

        It is to stable alone where the stored strategy does not tell how requests are divided.
        """
        try:
            current = self.state
            strategy = _section(
                sections.Strategy, {**self._in_force, "guards": []}, what="strategy", of=self.name
            )
        except errors.FairwayError:
            current, strategy = replace(self.state, candidate=None), sections.Strategy()
        return states.route(current, deployment=self.name, strategy=strategy)

    @property
    def weights(self) -> tuple[int, int]:
        """Return the candidate's weight and the share of requests mirrored to it, both percent."""
        route = self.route
        return (route.weight, route.mirror) if route is not None else (0, 0)

    @property
    def newest(self) -> sections.Strategy:
        """Return the strategy that counts from the next rollout on."""
        return _section(sections.Strategy, self.config["strategy"], what="strategy", of=self.name)

    @property
    def serving(self) -> sections.Serving:
        """Return how the newest revision is served."""
        return _section(sections.Serving, self.config["serving"], what="serving", of=self.name)

    @property
    def fault(self) -> str | None:
        """Return why no look can be taken at it, None where one can."""
        try:
            _ = self.policy, self.newest, self.serving
        except errors.FairwayError as error:
            return str(error)
        return None

    @property
    def _in_force(self) -> dict[str, Any]:
        found = (
            self.begun
            if self.begun is not None and states.bound(self.state)
            else self.config["strategy"]
        )
        return dict(found)


@dataclass(frozen=True, kw_only=True)
class LocalRevision:
    """One revision: a verified package and how it is served."""

    revision: str
    deployment: str
    package: str
    digest: str
    # of the package's manifest: testLoss, championDisagreement, championDigest
    facts: dict[str, Any]
    config: dict[str, Any]
    note: str
    created_at: float
    lineage: dict[str, Any] = field(default_factory=dict)  # packaging.lineage

    @property
    def serving(self) -> sections.Serving:
        """Return how it is served."""
        return _section(
            sections.Serving, self.config["serving"], what="serving", of=f"revision {self.revision}"
        )


class Store:
    """The state store of one home directory.

    Safe for several processes; raises StoreBusy when it is locked or full, PlatformError when it is
    damaged.
    """

    def __init__(self, path: Path, *, timeout_seconds: float = 10.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=FILE_MODE)
        self.path = path
        self._db = sqlite3.connect(
            path, timeout=timeout_seconds, isolation_level=None, check_same_thread=False
        )
        self._db.row_factory = sqlite3.Row
        with self._translated():
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(SCHEMA)
            self._add_missing_columns()

    def close(self) -> None:
        self._db.close()

    def deploy(self, revision: LocalRevision, *, now: float) -> bool:
        """Ask for a revision; says whether that changes anything. A rejected revision stays
        rejected until `retry`."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO revisions VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (revision) DO UPDATE SET "
                "package=excluded.package, facts=excluded.facts, config=excluded.config, "
                "note=CASE WHEN excluded.note != '' THEN excluded.note ELSE note END, "
                # who asks again for what is there did not make it
                "lineage=CASE WHEN json_extract(lineage, '$.run') IS NULL THEN excluded.lineage ELSE lineage END",
                (
                    revision.revision,
                    revision.deployment,
                    revision.package,
                    revision.digest,
                    json.dumps(revision.facts),
                    json.dumps(revision.config),
                    revision.note,
                    revision.created_at,
                    json.dumps(revision.lineage),
                ),
            )
            before = self._db.execute(
                "SELECT desired, config FROM deployments WHERE name=?", (revision.deployment,)
            ).fetchone()
            config = json.dumps(revision.config)
            if before is None:
                self._db.execute(
                    (
                        "INSERT INTO deployments (name, desired, config, state, generation, changed_at) VALUES "
                        "(?,?,?,?,1,?)"
                    ),
                    (
                        revision.deployment,
                        revision.revision,
                        config,
                        json.dumps(record.to_json(states.State())),
                        now,
                    ),
                )
                return True
            self._db.execute(
                "UPDATE deployments SET desired=?, config=?, generation=generation+1, changed_at=? WHERE name=?",
                (revision.revision, config, now, revision.deployment),
            )
            return bool(before["desired"] != revision.revision)

    def deployments(self) -> list[Deployment]:
        with self._translated():
            rows = self._db.execute("SELECT * FROM deployments ORDER BY name").fetchall()
        return [self._deployment(row) for row in rows]

    def deployment(self, name: str) -> Deployment | None:
        with self._translated():
            row = self._db.execute("SELECT * FROM deployments WHERE name=?", (name,)).fetchone()
        return self._deployment(row) if row else None

    def revision(self, name: str) -> LocalRevision | None:
        with self._translated():
            row = self._db.execute("SELECT * FROM revisions WHERE revision=?", (name,)).fetchone()
        return _revision(row) if row else None

    def serving(self, name: str) -> LocalRevision | None:
        """Return the revision in service as `name`, None where nothing is."""
        deployment = self.deployment(name)
        stable = deployment.state.stable if deployment is not None else None
        return self.revision(stable) if stable is not None else None

    def revisions(self, deployment: str) -> list[LocalRevision]:
        with self._translated():
            rows = self._db.execute(
                "SELECT * FROM revisions WHERE deployment=? ORDER BY created_at", (deployment,)
            ).fetchall()
        return [_revision(row) for row in rows]

    def save(
        self,
        name: str,
        *,
        state: states.State,
        policy: sections.Strategy,
        events: Sequence[states.Event],
        answered: tuple[int, states.Reply] | None,
    ) -> None:
        """Store one look of the supervisor: the new state, the strategy that it follows, what
        happened, and what became of a command.
        """
        plain = record.to_json(state) | {"strategy": policy.model_dump(mode="json", by_alias=True)}
        with self._transaction():
            self._db.execute(
                "UPDATE deployments SET state=? WHERE name=?", (json.dumps(plain), name)
            )
            for event in events:
                self._tell(name, event)
            if answered is not None:
                number, reply = answered
                self._db.execute(
                    "UPDATE commands SET answer=?, obeyed=? WHERE id=?",
                    (reply.sentence, int(reply.obeyed), number),
                )

    def save_retraining(
        self, name: str, retraining: Mapping[str, Any], *, event: states.Event | None = None
    ) -> None:
        with self._transaction():
            self._db.execute(
                "UPDATE deployments SET retraining=? WHERE name=?",
                (json.dumps(dict(retraining)), name),
            )
            if event is not None:
                self._tell(name, event)

    def tell(self, name: str, event: states.Event) -> None:
        with self._transaction():
            self._tell(name, event)

    def story(self, name: str, *, after: int = 0) -> list[tuple[int, states.Event]]:
        """Return what happened to a deployment, oldest first, as (id, event)."""
        with self._translated():
            rows = self._db.execute(
                "SELECT * FROM story WHERE deployment=? AND id>? ORDER BY id", (name, after)
            ).fetchall()
        return [
            (row["id"], states.Event(row["at"], row["type"], row["message"], row["revision"]))
            for row in rows
        ]

    def ask(self, deployment: str, command: Command, *, now: float) -> int:
        """Write down a command for the supervisor; return its number."""
        with self._transaction():
            cursor = self._db.execute(
                "INSERT INTO commands (deployment, verb, who, why, force, asked_at) VALUES (?,?,?,?,?,?)",
                (deployment, command.verb, command.who, command.why, int(command.force), now),
            )
            return int(cursor.lastrowid or 0)

    def next_command(self, deployment: str) -> tuple[int, Command] | None:
        with self._translated():
            row = self._db.execute(
                "SELECT * FROM commands WHERE deployment=? AND answer IS NULL ORDER BY id LIMIT 1",
                (deployment,),
            ).fetchone()
        return (
            (row["id"], Command(row["verb"], row["who"], row["why"], bool(row["force"])))
            if row
            else None
        )

    def reply(self, command: int) -> states.Reply | None:
        """Return what became of the command, None while no supervisor has taken it.

        Raises PlatformError where one of an earlier version took it, which did not write down
        whether it obeyed.
        """
        with self._translated():
            row = self._db.execute(
                "SELECT verb, answer, obeyed FROM commands WHERE id=?", (command,)
            ).fetchone()
        if row is None or row["answer"] is None:
            return None
        if row["obeyed"] is None:
            raise errors.PlatformError(
                f"a supervisor of an earlier version took {row['verb']}, and does not say what became of it: see "
                "`fairway rollout explain`, then `fairway down` and `fairway up`"
            )
        return states.Reply(obeyed=bool(row["obeyed"]), sentence=row["answer"])

    def _add_missing_columns(self) -> None:
        """Add what the store of an earlier version lacks."""
        known = {row["name"] for row in self._db.execute("PRAGMA table_info(commands)")}
        if "obeyed" not in known:
            self._db.execute("ALTER TABLE commands ADD COLUMN obeyed INTEGER")
        known = {row["name"] for row in self._db.execute("PRAGMA table_info(revisions)")}
        if "lineage" not in known:
            self._db.execute("ALTER TABLE revisions ADD COLUMN lineage TEXT NOT NULL DEFAULT '{}'")

    def _tell(self, name: str, event: states.Event) -> None:
        self._db.execute(
            "INSERT INTO story (deployment, at, type, revision, message) VALUES (?,?,?,?,?)",
            (name, event.at, event.type, event.revision, event.message),
        )
        self._db.execute(
            "DELETE FROM story WHERE deployment=? AND id <= (SELECT max(id) FROM story) - ?",
            (name, STORY_KEPT),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # SQLite has already rolled back by itself where the disk was full
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and any(
                word in str(error) for word in ("locked", "full", "disk I/O")
            ):
                raise errors.StoreBusy(
                    f"the state store {self.path} cannot be used now ({error}): free the disk or end what holds it"
                ) from error
            raise self._damaged(str(error)) from error

    def _damaged(self, said: str) -> errors.PlatformError:
        return errors.PlatformError(
            f"the state store {self.path} is damaged ({said}): `fairway down`, move the file away, `fairway up`, and "
            "deploy again"
        )

    def _deployment(self, row: sqlite3.Row) -> Deployment:
        try:
            return _deployment(row)
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(f"deployment {row['name']}: {str(error)[:200]}") from error


def _section(kind: type[S], stored: dict[str, Any], *, what: str, of: str) -> S:
    """Return a stored section; raises PlatformError for one that this installation cannot read."""
    try:
        return kind.model_validate(stored)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, (what, *first["loc"])))
        raise errors.PlatformError(
            f"nothing moves for {of}: what is stored of it cannot be read ({place}: {first['msg']}); install the "
            "plug-in or the version of fairway that it was written with, then `fairway down` and `fairway up`"
        ) from error


def _deployment(row: sqlite3.Row) -> Deployment:
    stored = json.loads(row["state"])
    return Deployment(
        name=row["name"],
        desired=row["desired"],
        config=json.loads(row["config"]),
        state=record.from_json(stored),
        generation=row["generation"],
        retraining=json.loads(row["retraining"]),
        begun=stored.get("strategy"),
    )


def _revision(row: sqlite3.Row) -> LocalRevision:
    return LocalRevision(
        revision=row["revision"],
        deployment=row["deployment"],
        package=row["package"],
        digest=row["digest"],
        facts=json.loads(row["facts"]),
        config=json.loads(row["config"]),
        note=row["note"],
        created_at=row["created_at"],
        lineage=json.loads(row["lineage"]),
    )
