-- ARGV 6 counter
-- Returns OK. Deletes the log of an erased conversation. What is left is a
-- counter that create.lua does not go below, for a day; the bell tells rooms
-- to look, and what they find is that it is gone.
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5])
redis.call('HSET', KEYS[1], 'c', ARGV[6], 'n', 'erased')
redis.call('EXPIRE', KEYS[1], 86400)
redis.call('PUBLISH', ARGV[3], ARGV[6] .. '.erased.1|' .. ARGV[4] .. '|erased|0|0|0|0|0|0|0|')
return {'OK'}
