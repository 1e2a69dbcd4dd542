"""The event store's SQL as SQLite wants it; `postgres_sql` has the same names.

A deployment is a name in a namespace: every join asks for both, as the indexes begin with both. A
join reads the rows after the caller's cursor, and nothing else of the events: CROSS JOIN keeps
SQLite from turning it round, and NOT INDEXED from walking a whole deployment. The new rows come
first, by number, and then one look into the index for each.
"""
# ruff: noqa: S608 - statements are built of this module's constants only

MIGRATIONS = (
    (
        """CREATE TABLE events (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, received REAL NOT NULL,
            type TEXT NOT NULL, deployment TEXT NOT NULL, request_id TEXT NOT NULL, revision TEXT NOT NULL,
            role TEXT NOT NULL, namespace TEXT NOT NULL, unit TEXT, time REAL NOT NULL, status INTEGER,
            rows INTEGER NOT NULL, input_digest TEXT, latency REAL, labels TEXT)""",
        "CREATE UNIQUE INDEX event_once ON events (deployment, request_id, type, revision, role)",
        "CREATE INDEX event_of_arm ON events (deployment, revision, role)",
        # Apart from the events, so that the joins do not read past a picture for each label they
        # compare.
        "CREATE TABLE payloads (seq INTEGER PRIMARY KEY, inputs TEXT, probabilities TEXT)",
        """CREATE TABLE alerts (
            id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, deployment TEXT NOT NULL, severity TEXT NOT NULL,
            summary TEXT NOT NULL, description TEXT NOT NULL, opened_at REAL NOT NULL, updated_at REAL NOT NULL,
            times INTEGER NOT NULL DEFAULT 1, resolved_at REAL, resolution TEXT)""",
        "CREATE UNIQUE INDEX one_open_alert ON alerts (deployment, name) WHERE resolved_at IS NULL",
        """CREATE TABLE drift (
            id INTEGER PRIMARY KEY AUTOINCREMENT, deployment TEXT NOT NULL, revision TEXT NOT NULL, at REAL NOT NULL,
            drifted INTEGER NOT NULL, record TEXT NOT NULL)""",
        "CREATE INDEX drift_of_deployment ON drift (deployment, revision)",
        "CREATE TABLE marks (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    ),
    (
        # Whether inputs were logged is in the index: else the window of a deployment that samples
        # few reads past the rest.
        "ALTER TABLE events ADD COLUMN logged INTEGER NOT NULL DEFAULT 0",
        "UPDATE events SET logged = 1 WHERE seq IN (SELECT seq FROM payloads WHERE inputs IS NOT NULL)",
        "DROP INDEX event_of_arm",
        "CREATE INDEX event_of_arm ON events (deployment, revision, role, logged)",
    ),
    (
        # On a cluster one name may be deployed in two namespaces, with the same request ids.
        "DROP INDEX event_once",
        "DROP INDEX event_of_arm",
        "CREATE UNIQUE INDEX event_once ON events (namespace, deployment, request_id, type, revision, role)",
        "CREATE INDEX event_of_arm ON events (namespace, deployment, revision, role, logged)",
    ),
    (
        # Numbers of two stores say nothing of each other: a cursor is read with the name of the
        # store that gave it.
        "CREATE TABLE identity (id TEXT NOT NULL)",
        "INSERT INTO identity VALUES (lower(hex(randomblob(16))))",
    ),
    ("ALTER TABLE events ADD COLUMN client TEXT",),
    (
        # A label that corrects an earlier one stands beside it.
        "ALTER TABLE events ADD COLUMN version INTEGER NOT NULL DEFAULT 0",
        "DROP INDEX event_once",
        "CREATE UNIQUE INDEX event_once ON events (namespace, deployment, request_id, type, revision, role, version)",
    ),
    ("ALTER TABLE events ADD COLUMN task TEXT",),
    (
        # What is read whole: files of packages, and what was learnt of a deployment's traffic.
        """CREATE TABLE blobs (
            namespace TEXT NOT NULL, deployment TEXT NOT NULL, revision TEXT NOT NULL, name TEXT NOT NULL,
            digest TEXT NOT NULL, at REAL NOT NULL, content BLOB NOT NULL,
            PRIMARY KEY (namespace, deployment, revision, name))""",
    ),
    (
        # Requests and responses of other servers, each until its other half comes.
        """CREATE TABLE halves (
            namespace TEXT NOT NULL, deployment TEXT NOT NULL, request_id TEXT NOT NULL, revision TEXT NOT NULL,
            role TEXT NOT NULL, side TEXT NOT NULL, received REAL NOT NULL, time REAL NOT NULL,
            rows INTEGER NOT NULL, inputs TEXT, labels TEXT, probabilities TEXT, task TEXT, size BIGINT NOT NULL,
            PRIMARY KEY (request_id, namespace, deployment, revision, role, side))""",
        "CREATE INDEX half_waits ON halves (received)",
    ),
    (
        # Whether an answer has a label already is asked of each that comes, and few have.
        """CREATE INDEX event_late ON events (namespace, deployment, request_id, type, version)
            WHERE type <> 'prediction'""",
    ),
)

INSERT = """
INSERT INTO events (seq, received, logged, type, deployment, request_id, revision, role, namespace, unit, time, status,
                    rows, input_digest, latency, client, labels, task, version)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (namespace, deployment, request_id, type, revision, role, version) DO NOTHING"""
INSERTED = "SELECT seq FROM events WHERE seq >= ?"
INSERT_PAYLOAD = "INSERT INTO payloads VALUES (?, ?, ?)"

# -- what is known of requests as their labels come ------------------------------------------------

# Said beside the type: then the small index of late events is used.
_LATE = "{}.type <> 'prediction'"
_REQUESTS = """
FROM json_each(:requests) AS asked CROSS JOIN events AS e
WHERE e.namespace = :namespace AND e.deployment = :deployment AND e.request_id = asked.value"""
NEWEST_LABELS = f"""
SELECT e.request_id, e.version, e.labels {_REQUESTS} AND {_LATE.format("e")} AND e.type = 'label' ORDER BY e.version"""
ANSWERED = f"SELECT DISTINCT e.request_id {_REQUESTS} AND e.type = 'prediction'"
SERVED_TASKS = f"""
SELECT e.request_id, e.task, e.rows, e.revision {_REQUESTS} AND e.type = 'prediction' AND e.role IN ('stable', 'canary')
  AND e.labels IS NOT NULL ORDER BY e.seq"""

# -- what is in the store --------------------------------------------------------------------------

IDENTITY = "SELECT id FROM identity"
# From the counter, not the table: the cursor must not fall when the newest rows are pruned.
NEWEST = "SELECT seq FROM sqlite_sequence WHERE name = 'events'"
NEWEST_AT = "SELECT received FROM events ORDER BY seq DESC LIMIT 1"
OLDEST = "SELECT min(seq) FROM events"
COUNTS = """
SELECT deployment, revision, role, count(*) FROM events
WHERE (:deployment IS NULL OR deployment = :deployment) AND type <> 'outcome'
GROUP BY deployment, revision, role ORDER BY 1, 2, 3"""

# -- what a rollout is judged by -------------------------------------------------------------------

_NEW = "{new}.seq > :after AND {new}.seq <= :cursor AND {new}.namespace = :namespace AND {new}.deployment = :deployment"
_SAME = (
    "{old}.namespace = {new}.namespace AND {old}.deployment = {new}.deployment "
    "AND {old}.request_id = {new}.request_id"
)


def _joined(new: str, old: str) -> str:
    """Return what joins new rows with the older rows of the same requests."""
    return f"""
FROM events AS {new} NOT INDEXED CROSS JOIN events AS {old}
WHERE {_NEW.format(new=new)} AND {_SAME.format(new=new, old=old)} AND {old}.seq < {new}.seq"""


# A half without a digest (refused before its body was read) is no mismatch.
_HALVES = """
SELECT s.status AS s_status, c.status AS c_status, s.labels AS s_labels, c.labels AS c_labels,
       s.task AS s_task, c.task AS c_task, s.input_digest <> c.input_digest AS mismatched"""
_TWO = """
  AND s.type = 'prediction' AND s.role = 'stable' AND s.revision = :stable
  AND c.type = 'prediction' AND c.role = 'shadow' AND c.revision = :candidate"""

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

FIRST_YOUNG = "SELECT min(seq) FROM events NOT INDEXED WHERE seq > :after AND seq <= :cursor AND received >= :before"

UNPAIRED = f"""
SELECT namespace, deployment, revision, count(*) FROM events AS half NOT INDEXED
WHERE seq > :after AND seq <= :cursor AND type = 'prediction' AND role = 'shadow'
  AND NOT EXISTS (SELECT 1 FROM events AS other
    WHERE {_SAME.format(new="half", old="other")} AND other.type = 'prediction' AND other.role = 'stable')
GROUP BY namespace, deployment, revision ORDER BY 1, 2, 3"""

# When the request came, by the weight of that time: an event's own time is its answer's.
_BEGAN = "p.time - coalesce(p.latency, 0)"
_SERVED = "p.type = 'prediction' AND p.role IN ('stable', 'canary')"
_ANSWERED = f"{_SERVED} AND p.status < 400 AND p.labels IS NOT NULL"
# pictures cost
_INPUTS = "CASE WHEN :sliced THEN (SELECT inputs FROM payloads WHERE payloads.seq = p.seq) END"

# A request is joined once, with its first label, and by what the newest one said when it is read.
_FIRST = f"{_LATE.format('l')} AND l.type = 'label' AND l.version = 0"
_NOW = f"""(SELECT n.labels FROM events AS n WHERE {_SAME.format(new="l", old="n")}
  AND {_LATE.format("n")} AND n.type = 'label' AND n.seq <= :cursor ORDER BY n.version DESC LIMIT 1)"""
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
FROM events AS {new} NOT INDEXED CROSS JOIN events AS {old}
WHERE {new}.seq > :after AND {new}.seq <= :cursor AND {new}.type = '{kind}'
  AND {_SAME.format(new=new, old=old)} AND {old}.seq < {new}.seq AND {_FIRST} AND {_ANSWERED}"""


TALLIED = f"{_pairs_of_all('l', 'p', 'label')} UNION ALL {_pairs_of_all('p', 'l', 'prediction')}"

UNJOINED = f"""
SELECT namespace, deployment, count(*) FROM events AS l NOT INDEXED
WHERE seq > :after AND seq <= :cursor AND {_FIRST}
  AND NOT EXISTS (SELECT 1 FROM events AS p WHERE {_SAME.format(new="l", old="p")} AND {_SERVED})
GROUP BY namespace, deployment ORDER BY 1, 2"""

_OUTCOME = f"l.revision, p.unit, p.revision, {_BEGAN}, l.labels"
OUTCOMES = f"""
SELECT l.seq, {_OUTCOME} {_joined("l", "p")} AND {_LATE.format("l")} AND l.type = 'outcome' AND {_SERVED}
UNION ALL
SELECT p.seq, {_OUTCOME} {_joined("p", "l")} AND {_LATE.format("l")} AND l.type = 'outcome' AND {_SERVED}
ORDER BY 1, 2, 4"""

EXPOSURE = f"""
SELECT seq, {_BEGAN}, role, unit, client, status, latency, labels FROM events AS p NOT INDEXED
WHERE {_NEW.format(new="p")} AND {_SERVED}
ORDER BY seq"""

# -- what the monitor and retraining read ----------------------------------------------------------

WINDOW = """
SELECT e.seq, e.request_id, e.time, e.rows, p.inputs, e.labels, p.probabilities
FROM events AS e JOIN payloads AS p USING (seq)
WHERE e.namespace = :namespace AND e.deployment = :deployment AND e.revision = :revision AND e.role = :role
  AND e.logged = 1 AND e.seq > :after AND e.seq < :before AND e.status < 400 AND e.rows > 0
ORDER BY e.seq DESC"""

# A row at least each: so many events have as many rows as are wanted, or more.
ROWS = """
SELECT coalesce(sum(rows), 0) FROM (SELECT rows FROM events
  WHERE namespace = :namespace AND deployment = :deployment AND revision = :revision AND role = :role
    AND logged = 1 AND seq > :after AND seq < :before AND status < 400 AND rows > 0
  ORDER BY seq DESC LIMIT :wanted) AS newest"""

LAST = """
SELECT max(seq) FROM events
WHERE namespace = :namespace AND deployment = :deployment AND revision = :revision AND role = 'stable' AND logged = 1
  AND seq > :after"""

# One look into the index for each of the four: min() over all of them would read all of them.
FIRST_ANSWER = "SELECT min(first) FROM ({}) AS arms".format(
    " UNION ALL ".join(
        "SELECT (SELECT min(seq) FROM events WHERE namespace = :namespace AND deployment = :deployment"
        f" AND revision = :revision AND role = '{role}' AND logged = {logged}) AS first"
        for role in ("stable", "canary")
        for logged in (0, 1)
    )
)

# All answers of a revision are of one task, with the same facts.
GAUGE = f"SELECT task FROM events WHERE seq = ({FIRST_ANSWER})"

# Labels have neither revision nor role, so the index of the arms finds them.
_LABELS = """
WHERE l.namespace = :namespace AND l.deployment = :deployment AND l.revision = '' AND l.role = '' AND l.logged = 0
  AND l.seq > :after"""

_NEWEST = f"""NOT EXISTS (SELECT 1 FROM events AS n WHERE {_SAME.format(new="l", old="n")}
  AND {_LATE.format("n")} AND n.type = 'label' AND n.version > l.version)"""

REALISED = f"""
SELECT p.time, p.labels, l.labels, p.task
FROM (SELECT * FROM events AS l {_LABELS} ORDER BY l.seq DESC LIMIT :most) AS l CROSS JOIN events AS p
WHERE {_SAME.format(new="l", old="p")} AND {_NEWEST} AND {_ANSWERED} AND p.revision = :revision
ORDER BY l.seq DESC"""

# The newest answers of a revision, found in the order of the index of the arms.
MATURE = """
SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT 1 FROM events AS l WHERE {same} AND {late} AND l.type = 'label'))
FROM (SELECT * FROM ({newest}) AS arms ORDER BY seq DESC LIMIT :most) AS p""".format(
    same=_SAME.format(new="p", old="l"),
    late=_LATE.format("l"),
    newest=" UNION ALL ".join(
        f"""SELECT * FROM (SELECT seq, namespace, deployment, request_id FROM events WHERE namespace = :namespace
        AND deployment = :deployment AND revision = :revision AND role = '{role}' AND logged = {logged} AND status < 400
        ORDER BY seq DESC LIMIT :most) AS arm"""
        for role in ("stable", "canary")
        for logged in (0, 1)
    ),
)

TRAINING = f"""
SELECT CASE WHEN l.seq > p.seq THEN l.seq ELSE p.seq END, p.request_id, payload.inputs, l.labels
FROM events AS l CROSS JOIN events AS p CROSS JOIN payloads AS payload
{_LABELS} AND {_SAME.format(new="l", old="p")} AND {_NEWEST} AND {_SERVED} AND p.status < 400
  AND payload.seq = p.seq AND payload.inputs IS NOT NULL
ORDER BY l.seq DESC"""

# -- halves of other servers' predictions ----------------------------------------------------------

TAKE_HALF = """
DELETE FROM halves WHERE namespace = :namespace AND deployment = :deployment AND request_id = :request_id
  AND revision = :revision AND role = :role AND side = :side
RETURNING time, rows, inputs, labels, probabilities, task"""
KEEP_HALF = """
INSERT INTO halves (namespace, deployment, request_id, revision, role, side, received, time, rows, inputs, labels,
                    probabilities, task, size)
VALUES (:namespace, :deployment, :request_id, :revision, :role, :side,
        :received, :time, :rows, :inputs, :labels, :probabilities, :task, :size)
ON CONFLICT (request_id, namespace, deployment, revision, role, side) DO NOTHING"""
DROP_HALVES = """
DELETE FROM halves WHERE received < :before OR rowid IN (
  SELECT place FROM (
    SELECT rowid AS place, row_number() OVER newest AS number, sum(size) OVER newest AS bytes FROM halves
    WINDOW newest AS (ORDER BY received DESC, request_id ROWS UNBOUNDED PRECEDING)) AS counted
  WHERE number > :most OR bytes > :bytes)
RETURNING namespace, deployment, side"""

# -- what is let go --------------------------------------------------------------------------------

OLDEST_EVENTS = "SELECT seq, received FROM events ORDER BY seq LIMIT :rows"
REMOVE_EVENTS = "DELETE FROM events WHERE seq <= :last AND received < :before"
REMOVE_PAYLOADS = "DELETE FROM payloads WHERE seq <= :last AND seq NOT IN (SELECT seq FROM events WHERE seq <= :last)"
REMOVE_DRIFT = "DELETE FROM drift WHERE at < :before"
REMOVE_ALERTS = "DELETE FROM alerts WHERE resolved_at < :before"

# -- what monitoring concluded ---------------------------------------------------------------------

REFRESH_ALERT = """
UPDATE alerts SET summary = :summary, description = :description, severity = :severity, updated_at = :at,
                  times = times + 1
WHERE deployment = :deployment AND name = :name AND resolved_at IS NULL"""
OPEN_ALERT = """
INSERT INTO alerts (name, deployment, severity, summary, description, opened_at, updated_at)
VALUES (:name, :deployment, :severity, :summary, :description, :at, :at)"""
RESOLVE_ALERT = """
UPDATE alerts SET resolved_at = :at, resolution = :resolution
WHERE deployment = :deployment AND name = :name AND resolved_at IS NULL"""
ALERTS = """
SELECT id, name, deployment, severity, summary, description, opened_at, updated_at, times, resolved_at, resolution
FROM alerts WHERE (:deployment IS NULL OR deployment = :deployment) AND (NOT :open_only OR resolved_at IS NULL)
ORDER BY resolved_at IS NOT NULL, id DESC LIMIT :limit"""
ADD_DRIFT = """
INSERT INTO drift (deployment, revision, at, drifted, record) VALUES (:deployment, :revision, :at, :drifted, :record)
RETURNING id"""
DRIFT = """
SELECT id, record FROM drift
WHERE deployment = :deployment AND (:revision IS NULL OR revision = :revision) AND id > :after
ORDER BY id DESC LIMIT :limit"""
MARK = "SELECT value FROM marks WHERE key = :key"
SET_MARK = (
    "INSERT INTO marks VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
REMOVE_MARK = "DELETE FROM marks WHERE key = :key"

# -- what is read whole ----------------------------------------------------------------------------

BLOB = """
SELECT digest, content FROM blobs
WHERE namespace = :namespace AND deployment = :deployment AND revision = :revision AND name = :name"""
BLOB_DIGESTS = """
SELECT name, digest FROM blobs
WHERE namespace = :namespace AND deployment = :deployment AND revision = :revision ORDER BY name"""
SET_BLOB = """
INSERT INTO blobs (namespace, deployment, revision, name, digest, at, content)
VALUES (:namespace, :deployment, :revision, :name, :digest, :at, :content)
ON CONFLICT (namespace, deployment, revision, name)
DO UPDATE SET digest = excluded.digest, at = excluded.at, content = excluded.content"""
REMOVE_BLOB = """
DELETE FROM blobs
WHERE namespace = :namespace AND deployment = :deployment AND revision = :revision AND name = :name"""
# What is learnt has no revision: it goes with the deployment's last event.
REMOVE_BLOBS = """
DELETE FROM blobs WHERE at < :before AND NOT EXISTS (SELECT 1 FROM events AS e
  WHERE e.namespace = blobs.namespace AND e.deployment = blobs.deployment
    AND (blobs.revision = '' OR e.revision = blobs.revision))"""
TOUCH_BLOBS = """
UPDATE blobs SET at = :at
WHERE namespace = :namespace AND deployment = :deployment AND revision = :revision AND at < :before"""
BLOB_SIZES = """
SELECT deployment, revision, sum(length(content)) FROM blobs WHERE namespace = :namespace AND revision <> ''
GROUP BY deployment, revision ORDER BY max(at), deployment, revision"""
BLOB_BYTES = "SELECT coalesce(sum(length(content)), 0) FROM blobs"
REMOVE_PACKAGE = """
DELETE FROM blobs WHERE namespace = :namespace AND deployment = :deployment AND revision = :revision"""
