-- Write a whole batch, if nobody has written one of its sagas since they were read, all effects to
-- be finished are still leased, and enough of the new ones are new. Return the ids of the outbox
-- rows and of the new effects.
WITH inbox_rows AS (
    -- An upsert although most rows exist: the planner might scan the whole table for an UPDATE.
    INSERT INTO inbox
        (key, flow, facts, seen, ids, sent, in_flight, marks, parked, gap, sent_by, version)
    SELECT key, flow, facts, seen, ids, sent, in_flight, marks, parked, gap, sent_by,
        version + 1
    FROM json_to_recordset(CAST(:inbox_rows AS json)) AS n
        (key text, flow text, facts text, seen jsonb, ids text[], sent integer,
         in_flight text[], marks text[], parked integer, gap text, sent_by uuid, version bigint)
    ON CONFLICT (key) DO UPDATE SET
        flow = excluded.flow, facts = excluded.facts, seen = excluded.seen,
        ids = excluded.ids, sent = excluded.sent, in_flight = excluded.in_flight,
        marks = excluded.marks, parked = excluded.parked, gap = excluded.gap,
        sent_by = excluded.sent_by, version = excluded.version
    WHERE inbox.version = excluded.version - 1
    RETURNING key
), finished AS (
    DELETE FROM effects
    USING json_to_recordset(CAST(:leases AS json)) AS n (id uuid, token uuid)
    WHERE effects.id = n.id AND effects.token = n.token
    RETURNING effects.id
), fresh AS MATERIALIZED (
    -- Otherwise it divides by zero, which ends the statement: nothing is written.
    SELECT 1 / ((SELECT count(*) FROM inbox_rows) = :sagas
            AND (SELECT count(*) FROM finished) = :finished)::integer AS one
), {states}
said AS (
    INSERT INTO outbox (topic, key, headers, value)
    SELECT topic, key, headers, value
    FROM json_to_recordset(CAST(:outbox AS json)) AS n
        (topic text, key text, headers text, value bytea)
    WHERE (SELECT one FROM fresh) = 1
    RETURNING id
), added AS (
    INSERT INTO effects (id, saga, key, kind, payload, trace, due_at, token, lease_until)
    SELECT id, saga, key, kind, payload, trace, due_at, token, lease_until
    FROM json_to_recordset(CAST(:effects AS json)) AS n
        (id uuid, saga text, key text, kind text, payload jsonb, trace jsonb,
         due_at timestamptz, token uuid, lease_until timestamptz)
    WHERE (SELECT one FROM fresh) = 1
    ON CONFLICT (saga, key) DO NOTHING
    RETURNING id
)
SELECT (SELECT one FROM fresh) / ((SELECT count(*) FROM added) >= :least_added)::integer,
       ARRAY(SELECT id FROM said ORDER BY id), ARRAY(SELECT id FROM added)
