-- ARGV 6 entries to keep
-- Returns OK trimmed | MISSING. Trims a log that nobody writes to: a viewer
-- with a cursor below its front is given a snapshot, which is never more than
-- the log says, because the state is whole.
local m = redis.call('HMGET', KEYS[1], 'n', 'top', 'lo', 'open', 'wait')
if not tonumber(m[2]) or not tonumber(m[3]) then return {'MISSING'} end
local lo = tonumber(m[2]) - tonumber(ARGV[6]) + 1
if m[4] == '1' or (m[5] and m[5] ~= '0') or lo <= tonumber(m[3]) then return {'OK', '0'} end
redis.call('XTRIM', KEYS[2], 'MAXLEN', ARGV[6])
redis.call('HSET', KEYS[1], 'lo', string.format('%.0f', lo))
return {'OK', '1'}
