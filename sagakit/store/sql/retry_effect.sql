UPDATE effects
SET attempts = attempts + 1, last_error = :error, due_at = :due_at, deaths = :deaths,
    failing_since = CASE
        WHEN NOT starts_with(:error, 'ResultPending:') THEN coalesce(failing_since, now())
    END,
    token = NULL, lease_until = :due_at
WHERE id = :id AND token = :token
