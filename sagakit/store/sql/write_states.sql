states AS (
    INSERT INTO {state_table} ({state_columns})
    SELECT {state_columns} FROM {state_rows}
    WHERE (SELECT one FROM fresh) = 1
    ON CONFLICT (saga) DO UPDATE SET {updates}
),
