DELETE FROM effects USING json_to_recordset(CAST(:leases AS json)) AS n (id uuid, token uuid)
WHERE effects.id = n.id AND effects.token = n.token
RETURNING effects.id
