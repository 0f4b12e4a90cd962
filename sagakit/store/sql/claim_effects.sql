-- A due effect that still has a token was being called by a process that died, or lost its lease. Its
-- attempt is counted now, before the next one. Suspects, whose calls ended several processes in a
-- row, are claimed one at a time.
UPDATE effects SET
    token = :token, lease_until = :until,
    attempts = attempts + (token IS NOT NULL)::integer,
    deaths = deaths + (token IS NOT NULL)::integer,
    last_error = CASE WHEN token IS NULL THEN last_error ELSE :died END
WHERE id IN (
    SELECT id FROM effects
    WHERE due_at <= :now AND lease_until <= :now
        AND (deaths + (token IS NOT NULL)::integer < :suspect_after OR id IN (
            SELECT id FROM effects
            WHERE due_at <= :now AND lease_until <= :now
                AND deaths + (token IS NOT NULL)::integer >= :suspect_after
            ORDER BY due_at LIMIT :suspects
        ))
    ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
RETURNING id, kind, key, payload, saga, trace, attempts, deaths, created_at
