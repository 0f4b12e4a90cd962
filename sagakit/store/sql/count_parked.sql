UPDATE inbox SET parked = (
    SELECT count(*) FROM parked WHERE parked.key = inbox.key AND code NOT IN ('paused', 'conflict')
)
WHERE key = ANY(:keys)
