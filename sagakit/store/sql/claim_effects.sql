UPDATE effects SET token = :token, lease_until = :until
WHERE id IN (
    SELECT id FROM effects WHERE due_at <= :now AND lease_until <= :now
    ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
RETURNING id, kind, key, payload, saga, trace, attempts
