-- Lock the inbox rows of a batch in sorted order, and create the missing ones. It returns the rows
-- that it has inserted and those in its snapshot, not rows that others have inserted since.
WITH made AS (
    INSERT INTO inbox (key) SELECT json_array_elements_text(CAST(:keys AS json))
    ON CONFLICT (key) DO NOTHING
    RETURNING key, flow, facts, seen, ids, sent, in_flight, marks, parked, gap, sent_by, version
)
SELECT * FROM made
UNION ALL
SELECT * FROM (
    SELECT key, flow, facts, seen, ids, sent, in_flight, marks, parked, gap, sent_by, version FROM inbox
    WHERE key = ANY(ARRAY(SELECT json_array_elements_text(CAST(:keys AS json))))
    ORDER BY key FOR UPDATE
) AS known
