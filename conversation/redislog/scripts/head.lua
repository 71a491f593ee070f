-- ARGV 6 counter 7 nonce 8 newest seq that the caller knows
-- Returns OK when the log has just that, MORE, MISSING or EPOCH
local m = redis.call('HMGET', KEYS[1], 'c', 'n', 'top')
if not m[1] then return {'MISSING'} end
if m[1] ~= ARGV[6] or m[2] ~= ARGV[7] then return {'EPOCH'} end
return {m[3] == ARGV[8] and 'OK' or 'MORE'}
