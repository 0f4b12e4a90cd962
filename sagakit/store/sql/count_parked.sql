UPDATE inbox SET parked = (
    SELECT count(*) FROM parked WHERE parked.key = inbox.key AND code <> 'paused'
)
WHERE key = ANY(:keys)
