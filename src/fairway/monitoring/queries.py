"""The SQL of the event store's joins: each reads the rows after the caller's cursor, and nothing else of the events.

A deployment is a name in a namespace: every join asks for both, as the indexes begin with both.
"""

INSERT = """
INSERT INTO events (received, logged, type, deployment, request_id, revision, role, namespace, unit, time, status, rows, input_digest,
                    latency, client, labels)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (namespace, deployment, request_id, type, revision, role) DO NOTHING RETURNING seq"""

# From the counter, not the table: the cursor must not fall when the newest rows are pruned.
NEWEST = "SELECT seq FROM sqlite_sequence WHERE name='events'"

# CROSS JOIN keeps SQLite from turning the join round, NOT INDEXED keeps it from walking a whole deployment: the new rows by
# number first, then one look into the index for each. A half without a digest (refused before its body was read) is no mismatch.
_HALF = """
SELECT {s}.status AS s_status, {c}.status AS c_status, {s}.labels AS s_labels, {c}.labels AS c_labels,
       {s}.input_digest <> {c}.input_digest AS mismatched
FROM events AS new NOT INDEXED CROSS JOIN events AS old
WHERE new.seq > :after AND new.seq <= :cursor AND new.namespace = :namespace AND new.deployment = :deployment AND new.type = 'prediction'
  AND new.role = '{new_role}' AND new.revision = {new_revision}
  AND old.namespace = new.namespace AND old.deployment = new.deployment AND old.request_id = new.request_id AND old.type = 'prediction'
  AND old.role = '{old_role}' AND old.revision = {old_revision} AND old.seq < new.seq"""

PAIRS = (
    "WITH pair AS ("  # noqa: S608 - constants of this module only
    + _HALF.format(
        s="new", c="old", new_role="stable", new_revision=":stable", old_role="shadow", old_revision=":candidate"
    )
    + " UNION ALL "
    + _HALF.format(
        s="old", c="new", new_role="shadow", new_revision=":candidate", old_role="stable", old_revision=":stable"
    )
    + """), judged AS (SELECT *, CASE
        WHEN mismatched THEN 'mismatched'
        WHEN s_status >= 500 AND c_status >= 500 THEN 'both'
        WHEN c_status >= 500 THEN 'candidate'
        WHEN s_status >= 500 THEN 'stable'
        WHEN s_status < 400 AND c_status >= 400 THEN 'disagree'
        WHEN s_status >= 400 OR s_labels IS NULL OR c_labels IS NULL THEN 'incomparable'
        WHEN s_labels <> c_labels THEN 'disagree'
        ELSE 'agree' END AS verdict FROM pair)
    SELECT count(*) FILTER (WHERE verdict IN ('agree', 'disagree')), count(*) FILTER (WHERE verdict = 'disagree'),
           count(*) FILTER (WHERE verdict = 'candidate'), count(*) FILTER (WHERE verdict = 'stable'),
           count(*) FILTER (WHERE verdict = 'both'), count(*) FILTER (WHERE verdict = 'mismatched'),
           count(*) FILTER (WHERE verdict = 'incomparable') FROM judged"""
)

UNPAIRED = """
SELECT namespace, deployment, revision, count(*) FROM events AS half NOT INDEXED
WHERE seq > :after AND seq <= :cursor AND type = 'prediction' AND role = 'shadow'
  AND NOT EXISTS (SELECT 1 FROM events AS other
    WHERE other.namespace = half.namespace AND other.deployment = half.deployment AND other.request_id = half.request_id
      AND other.type = 'prediction' AND other.role = 'stable')
GROUP BY namespace, deployment, revision ORDER BY 1, 2, 3"""

_BEGAN = "p.time - coalesce(p.latency, 0)"  # when the request came, by the weight of that time; an event's time is its answer's

_ANSWERED = "p.type = 'prediction' AND p.role IN ('stable', 'canary') AND p.status < 400 AND p.labels IS NOT NULL"

_INPUTS = "CASE WHEN :sliced THEN (SELECT inputs FROM payloads WHERE payloads.seq = p.seq) END"  # pictures are not read for nothing

LABELLED = f"""
SELECT l.seq, p.request_id, p.unit, p.revision, p.role, {_BEGAN}, p.labels, l.labels, {_INPUTS}
FROM events AS l NOT INDEXED CROSS JOIN events AS p
WHERE l.seq > :after AND l.seq <= :cursor AND l.namespace = :namespace AND l.deployment = :deployment AND l.type = 'label'
  AND p.namespace = l.namespace AND p.deployment = l.deployment AND p.request_id = l.request_id AND {_ANSWERED} AND p.seq < l.seq
UNION ALL
SELECT p.seq, p.request_id, p.unit, p.revision, p.role, {_BEGAN}, p.labels, l.labels, {_INPUTS}
FROM events AS p NOT INDEXED CROSS JOIN events AS l
WHERE p.seq > :after AND p.seq <= :cursor AND p.namespace = :namespace AND p.deployment = :deployment AND {_ANSWERED}
  AND l.namespace = p.namespace AND l.deployment = p.deployment AND l.request_id = p.request_id AND l.type = 'label' AND l.seq < p.seq
ORDER BY 1, 2, 4, 5"""  # noqa: S608 - constants of this module only

_SERVED = "p.type = 'prediction' AND p.role IN ('stable', 'canary')"

OUTCOMES = f"""
SELECT l.seq, l.revision, p.unit, p.revision, {_BEGAN}, l.labels FROM events AS l NOT INDEXED CROSS JOIN events AS p
WHERE l.seq > :after AND l.seq <= :cursor AND l.namespace = :namespace AND l.deployment = :deployment AND l.type = 'outcome'
  AND p.namespace = l.namespace AND p.deployment = l.deployment AND p.request_id = l.request_id AND {_SERVED} AND p.seq < l.seq
UNION ALL
SELECT p.seq, l.revision, p.unit, p.revision, {_BEGAN}, l.labels FROM events AS p NOT INDEXED CROSS JOIN events AS l
WHERE p.seq > :after AND p.seq <= :cursor AND p.namespace = :namespace AND p.deployment = :deployment AND {_SERVED}
  AND l.namespace = p.namespace AND l.deployment = p.deployment AND l.request_id = p.request_id AND l.type = 'outcome' AND l.seq < p.seq
ORDER BY 1, 2, 4"""  # noqa: S608

WINDOW = """
SELECT e.seq, e.request_id, e.time, e.rows, p.inputs, e.labels, p.probabilities
FROM events AS e JOIN payloads AS p USING (seq)
WHERE e.namespace = :namespace AND e.deployment = :deployment AND e.revision = :revision AND e.role = :role AND e.logged = 1
  AND e.seq > :after AND e.seq < :before AND e.status < 400 AND e.rows > 0
ORDER BY e.seq DESC"""

LAST = """
SELECT max(seq) FROM events
WHERE namespace = :namespace AND deployment = :deployment AND revision = :revision AND role = 'stable' AND logged = 1 AND seq > :after"""

ACCURACY = f"""
SELECT p.time, p.labels, l.labels FROM events AS l CROSS JOIN events AS p
WHERE l.namespace = :namespace AND l.deployment = :deployment AND l.revision = '' AND l.role = '' AND l.logged = 0 AND l.seq > :after
  AND p.namespace = l.namespace AND p.deployment = l.deployment AND p.request_id = l.request_id AND {_ANSWERED} AND p.revision = :revision
ORDER BY l.seq DESC"""  # noqa: S608

TRAINING = """
SELECT CASE WHEN l.seq > p.seq THEN l.seq ELSE p.seq END, p.request_id, payload.inputs, l.labels
FROM events AS l CROSS JOIN events AS p CROSS JOIN payloads AS payload
WHERE l.namespace = :namespace AND l.deployment = :deployment AND l.revision = '' AND l.role = '' AND l.logged = 0 AND l.seq > :after
  AND p.namespace = l.namespace AND p.deployment = l.deployment AND p.request_id = l.request_id AND p.type = 'prediction' AND p.role IN ('stable', 'canary')
  AND p.status < 400 AND payload.seq = p.seq AND payload.inputs IS NOT NULL
ORDER BY l.seq DESC"""

EXPOSURE = f"""
SELECT seq, {_BEGAN}, role, unit, client, status, latency, labels FROM events AS p NOT INDEXED
WHERE seq > :after AND seq <= :cursor AND namespace = :namespace AND deployment = :deployment AND type = 'prediction' AND role IN ('stable', 'canary')
ORDER BY seq"""  # noqa: S608

FIRST_YOUNG = "SELECT min(seq) FROM events NOT INDEXED WHERE seq > :after AND seq <= :cursor AND received >= :before"

ORPHANED_PAYLOADS = "DELETE FROM payloads WHERE seq <= ? AND seq NOT IN (SELECT seq FROM events WHERE seq <= ?)"

_FIRST = """SELECT (SELECT min(seq) FROM events
  WHERE namespace = :namespace AND deployment = :deployment AND revision = :revision AND role = '{role}' AND logged = {logged}) AS first"""

# One look into the index for each of the four: min() over all of them would read all of them.
FIRST_ANSWER = "SELECT min(first) FROM ({}) AS arms".format(  # noqa: S608 - constants of this module only
    " UNION ALL ".join(_FIRST.format(role=role, logged=logged) for role in ("stable", "canary") for logged in (0, 1))
)
