SELECT kind, key, payload, saga FROM effects
WHERE saga = ANY(ARRAY(SELECT json_array_elements_text(CAST(:keys AS json))))
