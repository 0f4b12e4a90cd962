SELECT key, code, error, source, seq, topic, partition, "offset", timestamp_ms, record_key, value,
       headers, id
FROM parked WHERE key = :key AND code <> 'conflict' ORDER BY id LIMIT :limit
