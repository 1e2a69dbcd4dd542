"""The event store's SQL as PostgreSQL wants it; `sqlite_sql` has the same names.

PostgreSQL decides by statistics in which order it joins, and a young table has none. So the order
is said by subqueries that must not be flattened (OFFSET 0): the new rows by number first, and then
one look into the index for each.
"""
# ruff: noqa: S608 - statements are built of this module's constants only

from typing import Any

from fairway.monitoring.eventstore import cloudevents

SCHEMA = "fairway"  # of its own, in a database that others may use too
MIGRATIONS = (
    (
        """CREATE TABLE events (
            seq BIGINT PRIMARY KEY, received DOUBLE PRECISION NOT NULL, logged INTEGER NOT NULL,
            type TEXT NOT NULL, deployment TEXT NOT NULL, request_id TEXT NOT NULL, revision TEXT NOT NULL,
            role TEXT NOT NULL, namespace TEXT NOT NULL, unit TEXT, time DOUBLE PRECISION NOT NULL, status INTEGER,
            rows INTEGER NOT NULL, input_digest TEXT, latency DOUBLE PRECISION, labels TEXT)""",
        "CREATE UNIQUE INDEX event_once ON events (request_id, namespace, deployment, type, revision, role)",
        "CREATE INDEX event_of_arm ON events (namespace, deployment, revision, role, logged, seq)",
        "CREATE TABLE payloads (seq BIGINT PRIMARY KEY, inputs TEXT, probabilities TEXT)",
        # The newest number given; its row is the lock that writers take turns by.
        "CREATE TABLE progress (seq BIGINT NOT NULL)",
        "INSERT INTO progress VALUES (0)",
        """CREATE TABLE alerts (
            id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name TEXT NOT NULL, deployment TEXT NOT NULL,
            severity TEXT NOT NULL, summary TEXT NOT NULL, description TEXT NOT NULL,
            opened_at DOUBLE PRECISION NOT NULL, updated_at DOUBLE PRECISION NOT NULL,
            times INTEGER NOT NULL DEFAULT 1, resolved_at DOUBLE PRECISION, resolution TEXT)""",
        "CREATE UNIQUE INDEX one_open_alert ON alerts (deployment, name) WHERE resolved_at IS NULL",
        """CREATE TABLE drift (
            id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, deployment TEXT NOT NULL, revision TEXT NOT NULL,
            at DOUBLE PRECISION NOT NULL, drifted BOOLEAN NOT NULL, record TEXT NOT NULL)""",
        "CREATE INDEX drift_of_deployment ON drift (deployment, revision)",
        "CREATE TABLE marks (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    ),
    (
        "CREATE TABLE identity (id TEXT NOT NULL)",
        "INSERT INTO identity VALUES (replace(gen_random_uuid()::text, '-', ''))",
    ),
    ("ALTER TABLE events ADD COLUMN client TEXT",),
    (
        # A label that corrects an earlier one stands beside it.
        "ALTER TABLE events ADD COLUMN version INTEGER NOT NULL DEFAULT 0",
        "DROP INDEX event_once",
        "CREATE UNIQUE INDEX event_once ON events (request_id, namespace, deployment, type, revision, role, version)",
    ),
    ("ALTER TABLE events ADD COLUMN task TEXT",),
    (
        # What is read whole: files of packages, and what was learnt of a deployment's traffic.
        """CREATE TABLE blobs (
            namespace TEXT NOT NULL, deployment TEXT NOT NULL, revision TEXT NOT NULL, name TEXT NOT NULL,
            digest TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, content BYTEA NOT NULL,
            PRIMARY KEY (namespace, deployment, revision, name))""",
    ),
    (
        # Requests and responses of other servers, each until its other half comes.
        """CREATE TABLE halves (
            namespace TEXT NOT NULL, deployment TEXT NOT NULL, request_id TEXT NOT NULL, revision TEXT NOT NULL,
            role TEXT NOT NULL, side TEXT NOT NULL, received DOUBLE PRECISION NOT NULL, time DOUBLE PRECISION NOT NULL,
            rows INTEGER NOT NULL, inputs TEXT, labels TEXT, probabilities TEXT, task TEXT, size BIGINT NOT NULL,
            PRIMARY KEY (request_id, namespace, deployment, revision, role, side))""",
        "CREATE INDEX half_waits ON halves (received)",
    ),
    (
        # Payloads by day, see `postgres_days`. What was there is day 0, which a collector of an
        # earlier version writes on while this one is there already.
        "ALTER TABLE events ADD COLUMN day INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE payloads RENAME TO payloads_0",
        "ALTER TABLE payloads_0 ADD COLUMN day INTEGER NOT NULL DEFAULT 0",
        """CREATE TABLE payloads (seq BIGINT NOT NULL, inputs TEXT, probabilities TEXT, day INTEGER NOT NULL DEFAULT 0)
            PARTITION BY RANGE (day)""",
        "ALTER TABLE payloads ATTACH PARTITION payloads_0 FOR VALUES FROM (0) TO (1)",
    ),
    (
        # Whether an answer has a label already is asked of each that comes, and few have.
        """CREATE INDEX event_late ON events (request_id, namespace, deployment, type, version)
            WHERE type <> 'prediction'""",
    ),
)
DAY = "SELECT to_regclass(%(name)s)"
# Attaching lets others read and write meanwhile; a partition that is created as one does not.
MAKE_DAY = (
    "CREATE TABLE payloads_{day} (LIKE payloads INCLUDING DEFAULTS, PRIMARY KEY (seq))",
    "ALTER TABLE payloads ATTACH PARTITION payloads_{day} FOR VALUES FROM ({day}) TO ({next})",
)
DAYS_WITHOUT_EVENTS = """
SELECT name FROM (SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = to_regclass('payloads'))
  AS days
WHERE substring(name FROM '[0-9]+$')::int < (SELECT day FROM events ORDER BY seq LIMIT 1)"""
# Any number that nobody else takes: two processes may open a new store at once.
LOCK = "SELECT pg_advisory_xact_lock(7142389)"
LOCK_WRITERS = "SELECT seq FROM progress FOR UPDATE"

# The columns of a row: those that stand in `events`, and those of its payload.
COLUMNS = cloudevents.EventRow._fields[:-3]
PAYLOAD = ("inputs", "probabilities")
NUMBERS = {
    "logged": "integer",
    "version": "integer",
    "time": "double precision",
    "latency": "double precision",
    "status": "integer",
    "rows": "integer",
}
_GIVEN = ("logged", "version", *COLUMNS)

# One statement a batch: each is a way to the server and back, with the lock held. What is given is
# numbered on from the newest number, and told by its place.
INSERT = f"""
WITH newest AS MATERIALIZED (SELECT seq, %s::double precision AS received, %s::integer AS day FROM progress),
new AS MATERIALIZED (
  SELECT newest.seq + given.place AS seq, received, day, given.* FROM newest,
    unnest({", ".join(f"%s::{NUMBERS.get(name, 'text')}[]" for name in (*_GIVEN, *PAYLOAD))})
    WITH ORDINALITY AS given ({", ".join((*_GIVEN, *PAYLOAD))}, place)),
stored AS (
  INSERT INTO events (seq, received, day, {", ".join(_GIVEN)})
  SELECT seq, received, day, {", ".join(_GIVEN)} FROM new ORDER BY seq
  ON CONFLICT (namespace, deployment, request_id, type, revision, role, version) DO NOTHING RETURNING seq),
kept AS (
  INSERT INTO payloads SELECT seq, {", ".join(PAYLOAD)}, day FROM new
  WHERE (inputs <> '' OR probabilities <> '') AND seq IN (SELECT seq FROM stored)),
advanced AS (
  UPDATE progress SET seq = (SELECT max(seq) FROM stored) WHERE EXISTS (SELECT FROM stored))
SELECT stored.seq - newest.seq FROM stored, newest"""

# -- what is known of requests as their labels come ------------------------------------------------

_REQUESTS = """
FROM jsonb_array_elements_text(%(requests)s::jsonb) AS asked(request_id)
CROSS JOIN LATERAL (SELECT * FROM events WHERE request_id = asked.request_id OFFSET 0) AS e
WHERE e.namespace = %(namespace)s AND e.deployment = %(deployment)s"""
NEWEST_LABELS = (
    f"SELECT e.request_id, e.version, e.labels {_REQUESTS} AND e.type = 'label' ORDER BY e.version"
)
ANSWERED = f"SELECT DISTINCT e.request_id {_REQUESTS} AND e.type = 'prediction'"
SERVED_TASKS = f"""
SELECT e.request_id, e.task, e.rows, e.revision {_REQUESTS} AND e.type = 'prediction' AND e.role IN ('stable', 'canary')
  AND e.labels IS NOT NULL ORDER BY e.seq"""

# -- what is in the store --------------------------------------------------------------------------

IDENTITY = "SELECT id FROM identity"
NEWEST = "SELECT seq FROM progress"
NEWEST_AT = "SELECT received FROM events ORDER BY seq DESC LIMIT 1"
OLDEST = "SELECT min(seq) FROM events"
COUNTS = """
SELECT deployment, revision, role, count(*) FROM events
WHERE (%(deployment)s IS NULL OR deployment = %(deployment)s) AND type <> 'outcome'
GROUP BY deployment, revision, role ORDER BY 1, 2, 3"""

# -- what a rollout is judged by -------------------------------------------------------------------

_NEW = "(SELECT * FROM events WHERE seq > %(after)s AND seq <= %(cursor)s OFFSET 0)"
_OURS = "{new}.namespace = %(namespace)s AND {new}.deployment = %(deployment)s"
_SAME = (
    "{old}.namespace = {new}.namespace AND {old}.deployment = {new}.deployment "
    "AND {old}.request_id = {new}.request_id"
)
# The whole beginning of the index: what a request has of other types is not fetched.
_OF = """CROSS JOIN LATERAL (SELECT * FROM events AS same WHERE same.request_id = {new}.request_id
  AND same.namespace = {new}.namespace AND same.deployment = {new}.deployment AND same.type = '{type}'
  OFFSET 0) AS {old}"""
_TYPES = {"s": "prediction", "c": "prediction", "p": "prediction", "l": "label", "o": "outcome"}


def _of(new: str, old: str) -> str:
    """Return what joins rows with the others of the same requests that `old` stands for."""
    return _OF.format(new=new, old=old, type=_TYPES[old])


def _joined(new: str, old: str) -> str:
    """Return what joins new rows with the older rows of the same requests."""
    return f"""
FROM {_NEW} AS {new} {_of(new, old)}
WHERE {_OURS.format(new=new)} AND {_SAME.format(new=new, old=old)} AND {old}.seq < {new}.seq"""


# A half without a digest (refused before its body was read) is no mismatch.
_HALVES = """
SELECT s.status AS s_status, c.status AS c_status, s.labels AS s_labels, c.labels AS c_labels,
       s.task AS s_task, c.task AS c_task, s.input_digest <> c.input_digest AS mismatched"""
_TWO = """
  AND s.type = 'prediction' AND s.role = 'stable' AND s.revision = %(stable)s
  AND c.type = 'prediction' AND c.role = 'shadow' AND c.revision = %(candidate)s"""

# What a task must measure is given as it is: of classes the numbers alone.
PAIRS = f"""
WITH pair AS ({_HALVES}{_joined("s", "c")}{_TWO} UNION ALL {_HALVES}{_joined("c", "s")}{_TWO}),
judged AS (SELECT *, CASE
  WHEN mismatched THEN 'mismatched'
  WHEN s_status >= 500 AND c_status >= 500 THEN 'both'
  WHEN c_status >= 500 THEN 'candidate'
  WHEN s_status >= 500 THEN 'stable'
  WHEN s_status < 400 AND c_status >= 400 THEN 'disagree'
  WHEN s_status >= 400 OR s_labels IS NULL OR c_labels IS NULL THEN 'incomparable'
  WHEN s_task IS NOT NULL OR c_task IS NOT NULL THEN 'measured'
  WHEN s_labels <> c_labels THEN 'disagree'
  ELSE 'agree' END AS verdict FROM pair),
told AS (SELECT verdict, CASE WHEN verdict = 'measured' THEN s_task END AS s_task,
  CASE WHEN verdict = 'measured' THEN c_task END AS c_task,
  CASE WHEN verdict = 'measured' THEN s_labels END AS s_labels,
  CASE WHEN verdict = 'measured' THEN c_labels END AS c_labels FROM judged)
SELECT verdict, s_task, c_task, s_labels, c_labels, count(*) FROM told GROUP BY 1, 2, 3, 4, 5 ORDER BY 1"""

FIRST_YOUNG = "SELECT min(seq) FROM events WHERE seq > %(after)s AND seq <= %(cursor)s AND received >= %(before)s"

UNPAIRED = f"""
SELECT namespace, deployment, revision, count(*) FROM {_NEW} AS half
WHERE type = 'prediction' AND role = 'shadow'
  AND NOT EXISTS (SELECT 1 FROM events AS other
    WHERE {_SAME.format(new="half", old="other")} AND other.type = 'prediction' AND other.role = 'stable')
GROUP BY namespace, deployment, revision ORDER BY 1, 2, 3"""

# When the request came, by the weight of that time: an event's own time is its answer's.
_BEGAN = "p.time - coalesce(p.latency, 0)"
_SERVED = "p.type = 'prediction' AND p.role IN ('stable', 'canary')"
_ANSWERED = f"{_SERVED} AND p.status < 400 AND p.labels IS NOT NULL"
# pictures cost
_INPUTS = """CASE WHEN %(sliced)s THEN
  (SELECT inputs FROM payloads WHERE payloads.seq = p.seq AND payloads.day = p.day) END"""

# A request is joined once, with its first label, and by what the newest one said when it is read.
_FIRST = "l.type = 'label' AND l.version = 0"
_OTHERS = """(SELECT * FROM events AS same WHERE same.request_id = l.request_id
  AND same.namespace = l.namespace AND same.deployment = l.deployment AND same.type = 'label' OFFSET 0) AS n"""
_NOW = f"""(SELECT n.labels FROM {_OTHERS}
  WHERE n.seq <= %(cursor)s ORDER BY n.version DESC LIMIT 1)"""
_LABELLED = (
    f"p.request_id, p.unit, p.revision, p.role, {_BEGAN}, p.labels, p.task, {_NOW}, {_INPUTS}"
)
LABELLED = f"""
SELECT l.seq, {_LABELLED} {_joined("l", "p")} AND {_FIRST} AND {_ANSWERED}
UNION ALL
SELECT p.seq, {_LABELLED} {_joined("p", "l")} AND {_FIRST} AND {_ANSWERED}
ORDER BY 1, 2, 4, 5"""


def _pairs_of_all(new: str, old: str, kind: str) -> str:
    """Return what joins labels and answers of all deployments, where the one of that kind is new."""
    return f"""
SELECT p.namespace, p.deployment, p.revision, p.role, l.received - p.time, p.labels, p.task, {_NOW}
FROM {_NEW} AS {new} {_of(new, old)}
WHERE {new}.type = '{kind}' AND {_SAME.format(new=new, old=old)} AND {old}.seq < {new}.seq
  AND {_FIRST} AND {_ANSWERED}"""


TALLIED = f"{_pairs_of_all('l', 'p', 'label')} UNION ALL {_pairs_of_all('p', 'l', 'prediction')}"

UNJOINED = f"""
SELECT namespace, deployment, count(*) FROM {_NEW} AS l
WHERE {_FIRST}
  AND NOT EXISTS (SELECT 1 FROM events AS p WHERE {_SAME.format(new="l", old="p")} AND {_SERVED})
GROUP BY namespace, deployment ORDER BY 1, 2"""

_OUTCOME = f"o.revision, p.unit, p.revision, {_BEGAN}, o.labels"
OUTCOMES = f"""
SELECT o.seq, {_OUTCOME} {_joined("o", "p")} AND o.type = 'outcome' AND {_SERVED}
UNION ALL
SELECT p.seq, {_OUTCOME} {_joined("p", "o")} AND o.type = 'outcome' AND {_SERVED}
ORDER BY 1, 2, 4"""

EXPOSURE = f"""
SELECT seq, {_BEGAN}, role, unit, client, status, latency, labels FROM {_NEW} AS p
WHERE {_OURS.format(new="p")} AND {_SERVED}
ORDER BY seq"""

# -- what the monitor and retraining read ----------------------------------------------------------

_ARM = ("namespace", "deployment", "revision", "role", "logged", "seq")


def _edge(order: str, *, revision: str, role: str, logged: int) -> str:
    """Return the first or the last number of an arm, found in the order of the index `event_of_arm`.

    By conditions alone the planner may walk by number past all that is of other arms: 13 s for half of
    ten million events.
    """
    of = (*(f"%({name})s" for name in _ARM[:2]), revision, role, str(logged))
    bound = ">= ({}, 0)" if order == "ASC" else f"<= ({{}}, {2**63 - 1})"
    same = " AND ".join(f"{name} = {value}" for name, value in zip(_ARM, of, strict=False))
    return f"""(SELECT seq FROM (
  SELECT {", ".join(_ARM)} FROM events WHERE ({", ".join(_ARM)}) {bound.format(", ".join(of))}
  ORDER BY {", ".join(f"{name} {order}" for name in _ARM)} LIMIT 1) AS edge WHERE {same})"""


def _within(**arm: Any) -> str:
    return f"BETWEEN {_edge('ASC', **arm)} AND {_edge('DESC', **arm)}"


_NEWEST_FIRST = f"""(SELECT * FROM events
  WHERE namespace = %(namespace)s AND deployment = %(deployment)s AND revision = %(revision)s AND role = %(role)s
    AND logged = 1 AND seq > %(after)s AND seq < %(before)s
    AND seq {_within(revision="%(revision)s", role="%(role)s", logged=1)}
  ORDER BY seq DESC OFFSET 0) AS e"""

WINDOW = f"""
SELECT e.seq, e.request_id, e.time, e.rows, payload.inputs, e.labels, payload.probabilities
FROM {_NEWEST_FIRST}
CROSS JOIN LATERAL (SELECT * FROM payloads WHERE payloads.seq = e.seq AND payloads.day = e.day OFFSET 0) AS payload
WHERE e.status < 400 AND e.rows > 0
ORDER BY e.seq DESC"""

# A row at least each: so many events have as many rows as are wanted, or more.
ROWS = f"""
SELECT coalesce(sum(rows), 0) FROM
  (SELECT rows FROM {_NEWEST_FIRST} WHERE e.status < 400 AND e.rows > 0 LIMIT %(wanted)s) AS newest"""

LAST = f"""
SELECT max(seq) FROM {_edge("DESC", revision="%(revision)s", role="'stable'", logged=1)} AS newest
WHERE seq > %(after)s"""

FIRST_ANSWER = "SELECT min(seq) FROM ({}) AS arms".format(
    " UNION ALL ".join(
        _edge("ASC", revision="%(revision)s", role=f"'{role}'", logged=logged)
        for role in ("stable", "canary")
        for logged in (0, 1)
    )
)

# All answers of a revision are of one task, with the same facts.
GAUGE = f"SELECT task FROM events WHERE seq = ({FIRST_ANSWER})"

# Labels have neither revision nor role, so the index of the arms finds them.
_LABELS = f"""
WHERE l.namespace = %(namespace)s AND l.deployment = %(deployment)s AND l.revision = '' AND l.role = '' AND l.logged = 0
  AND l.seq > %(after)s AND l.seq {_within(revision="''", role="''", logged=0)}"""

_NEWEST = f"""l.version = (SELECT max(n.version) FROM {_OTHERS})"""

REALISED = f"""
SELECT p.time, p.labels, l.labels, p.task
FROM (SELECT * FROM events AS l {_LABELS} ORDER BY l.seq DESC LIMIT %(most)s) AS l {_of("l", "p")}
WHERE {_SAME.format(new="l", old="p")} AND {_NEWEST} AND {_ANSWERED} AND p.revision = %(revision)s
ORDER BY l.seq DESC"""

# The newest answers of a revision, found in the order of the index of the arms.
MATURE = """
SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT 1 FROM events AS l WHERE {same} AND l.type = 'label'))
FROM (SELECT * FROM ({newest}) AS arms ORDER BY seq DESC LIMIT %(most)s) AS p""".format(
    same=_SAME.format(new="p", old="l"),
    newest=" UNION ALL ".join(
        f"""SELECT * FROM (SELECT seq, namespace, deployment, request_id FROM events
        WHERE namespace = %(namespace)s AND deployment = %(deployment)s AND revision = %(revision)s AND role = '{role}'
          AND logged = {logged} AND status < 400
          AND seq {_within(revision="%(revision)s", role=f"'{role}'", logged=logged)}
        ORDER BY seq DESC LIMIT %(most)s) AS arm"""
        for role in ("stable", "canary")
        for logged in (0, 1)
    ),
)

TRAINING = f"""
SELECT greatest(l.seq, p.seq), p.request_id, payload.inputs, l.labels
FROM events AS l {_of("l", "p")}
CROSS JOIN LATERAL (SELECT * FROM payloads WHERE payloads.seq = p.seq AND payloads.day = p.day OFFSET 0) AS payload
{_LABELS} AND {_SAME.format(new="l", old="p")} AND {_NEWEST} AND {_SERVED} AND p.status < 400
  AND payload.inputs IS NOT NULL
ORDER BY l.seq DESC"""

# -- halves of other servers' predictions ----------------------------------------------------------

TAKE_HALF = """
DELETE FROM halves WHERE namespace = %(namespace)s AND deployment = %(deployment)s AND request_id = %(request_id)s
  AND revision = %(revision)s AND role = %(role)s AND side = %(side)s
RETURNING time, rows, inputs, labels, probabilities, task"""
KEEP_HALF = """
INSERT INTO halves (namespace, deployment, request_id, revision, role, side, received, time, rows, inputs, labels,
                    probabilities, task, size)
VALUES (%(namespace)s, %(deployment)s, %(request_id)s, %(revision)s, %(role)s, %(side)s, %(received)s, %(time)s,
        %(rows)s, %(inputs)s, %(labels)s, %(probabilities)s, %(task)s, %(size)s)
ON CONFLICT (request_id, namespace, deployment, revision, role, side) DO NOTHING"""
DROP_HALVES = """
DELETE FROM halves WHERE received < %(before)s OR ctid IN (
  SELECT place FROM (
    SELECT ctid AS place, row_number() OVER newest AS number, sum(size) OVER newest AS bytes FROM halves
    WINDOW newest AS (ORDER BY received DESC, request_id ROWS UNBOUNDED PRECEDING)) AS counted
  WHERE number > %(most)s OR bytes > %(bytes)s)
RETURNING namespace, deployment, side"""

# -- what is let go --------------------------------------------------------------------------------

OLDEST_EVENTS = "SELECT seq, received FROM events ORDER BY seq LIMIT %(rows)s"
REMOVE_EVENTS = "DELETE FROM events WHERE seq <= %(last)s AND received < %(before)s"
# Of day 0 alone: the others go as a whole.
REMOVE_PAYLOADS = """
DELETE FROM payloads WHERE day = 0 AND seq <= %(last)s
  AND seq NOT IN (SELECT seq FROM events WHERE seq <= %(last)s)"""
REMOVE_DRIFT = "DELETE FROM drift WHERE at < %(before)s"
REMOVE_ALERTS = "DELETE FROM alerts WHERE resolved_at < %(before)s"

# -- what monitoring concluded ---------------------------------------------------------------------

REFRESH_ALERT = """
UPDATE alerts SET summary = %(summary)s, description = %(description)s, severity = %(severity)s, updated_at = %(at)s,
                  times = times + 1
WHERE deployment = %(deployment)s AND name = %(name)s AND resolved_at IS NULL"""
OPEN_ALERT = """
INSERT INTO alerts (name, deployment, severity, summary, description, opened_at, updated_at)
VALUES (%(name)s, %(deployment)s, %(severity)s, %(summary)s, %(description)s, %(at)s, %(at)s)"""
RESOLVE_ALERT = """
UPDATE alerts SET resolved_at = %(at)s, resolution = %(resolution)s
WHERE deployment = %(deployment)s AND name = %(name)s AND resolved_at IS NULL"""
ALERTS = """
SELECT id, name, deployment, severity, summary, description, opened_at, updated_at, times, resolved_at, resolution
FROM alerts WHERE (%(deployment)s IS NULL OR deployment = %(deployment)s) AND (NOT %(open_only)s OR resolved_at IS NULL)
ORDER BY resolved_at IS NOT NULL, id DESC LIMIT %(limit)s"""
ADD_DRIFT = """
INSERT INTO drift (deployment, revision, at, drifted, record)
VALUES (%(deployment)s, %(revision)s, %(at)s, %(drifted)s, %(record)s) RETURNING id"""
DRIFT = """
SELECT id, record FROM drift
WHERE deployment = %(deployment)s AND (%(revision)s IS NULL OR revision = %(revision)s) AND id > %(after)s
ORDER BY id DESC LIMIT %(limit)s"""
MARK = "SELECT value FROM marks WHERE key = %(key)s"
SET_MARK = "INSERT INTO marks VALUES (%(key)s, %(value)s) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
REMOVE_MARK = "DELETE FROM marks WHERE key = %(key)s"

# -- what is read whole ----------------------------------------------------------------------------

BLOB = """
SELECT digest, content FROM blobs
WHERE namespace = %(namespace)s AND deployment = %(deployment)s AND revision = %(revision)s AND name = %(name)s"""
BLOB_DIGESTS = """
SELECT name, digest FROM blobs
WHERE namespace = %(namespace)s AND deployment = %(deployment)s AND revision = %(revision)s ORDER BY name"""
SET_BLOB = """
INSERT INTO blobs (namespace, deployment, revision, name, digest, at, content)
VALUES (%(namespace)s, %(deployment)s, %(revision)s, %(name)s, %(digest)s, %(at)s, %(content)s)
ON CONFLICT (namespace, deployment, revision, name)
DO UPDATE SET digest = excluded.digest, at = excluded.at, content = excluded.content"""
REMOVE_BLOB = """
DELETE FROM blobs
WHERE namespace = %(namespace)s AND deployment = %(deployment)s AND revision = %(revision)s AND name = %(name)s"""
# What is learnt has no revision: it goes with the deployment's last event.
REMOVE_BLOBS = """
DELETE FROM blobs WHERE at < %(before)s AND NOT EXISTS (SELECT 1 FROM events AS e
  WHERE e.namespace = blobs.namespace AND e.deployment = blobs.deployment
    AND (blobs.revision = '' OR e.revision = blobs.revision))"""
TOUCH_BLOBS = """
UPDATE blobs SET at = %(at)s
WHERE namespace = %(namespace)s AND deployment = %(deployment)s AND revision = %(revision)s AND at < %(before)s"""
BLOB_SIZES = """
SELECT deployment, revision, sum(length(content)) FROM blobs WHERE namespace = %(namespace)s AND revision <> ''
GROUP BY deployment, revision ORDER BY max(at), deployment, revision"""
REMOVE_PACKAGE = """
DELETE FROM blobs WHERE namespace = %(namespace)s AND deployment = %(deployment)s AND revision = %(revision)s"""
