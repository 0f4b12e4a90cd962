INSERT INTO parked (key, code, error, source, seq, topic, partition, "offset", timestamp_ms,
                    record_key, value, headers)
SELECT key, code, error, source, seq, topic, partition, "offset", timestamp_ms, record_key, value,
       headers
FROM json_to_recordset(CAST(:parked AS json)) AS n
    (key text, code text, error text, source text, seq integer, topic text, partition integer,
     "offset" bigint, timestamp_ms bigint, record_key bytea, value bytea, headers text)
ON CONFLICT (topic, partition, "offset") DO UPDATE SET
    key = excluded.key, code = excluded.code, error = excluded.error
WHERE excluded.code <> 'queued' OR excluded.key <> parked.key
