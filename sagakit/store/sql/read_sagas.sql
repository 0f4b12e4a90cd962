-- The inbox rows and states of a batch, as committed now, without a lock.
-- OFFSET 0 keeps the planner from a join that scans a whole table: it expects 100 keys, always.
SELECT asked.key, i.flow, i.facts, i.seen, i.ids, i.sent, i.in_flight, i.marks, i.parked, i.gap,
       i.sent_by, i.version, {read_columns}
FROM json_array_elements_text(CAST(:keys AS json)) AS asked (key)
LEFT JOIN LATERAL (SELECT * FROM inbox WHERE inbox.key = asked.key OFFSET 0) AS i ON true
LEFT JOIN LATERAL (SELECT * FROM {state_table} AS t WHERE t.saga = asked.key OFFSET 0) AS s ON true
