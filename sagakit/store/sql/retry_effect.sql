UPDATE effects
SET attempts = attempts + 1, last_error = :error, due_at = :due_at, deaths = :deaths,
    token = NULL, lease_until = :due_at
WHERE id = :id AND token = :token
