-- ARGV 6 counter 7 fence 8 newest fact 9 result 10 failure 11 run being
--      written or '0' 12 head 13 header 14… turns
-- Returns OK nonce | EXISTS counter nonce
-- The nonce is made here, at execution: a duplicate of this command that
-- arrives after a wipe makes a log that SQL does not name.
local have = redis.call('HGET', KEYS[1], 'c')
if have and (tonumber(have) or 0) >= tonumber(ARGV[6]) then
  return {'EXISTS', have, redis.call('HGET', KEYS[1], 'n')}
end
local t = redis.call('TIME')
local nonce = string.format('%x', tonumber(t[1])) .. string.format('%05x', tonumber(t[2]))
-- First what a Redis without room refuses (see lib.lua).
redis.call('SET', KEYS[5], ARGV[13])
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
redis.call('HSET', KEYS[1], 'c', ARGV[6], 'n', nonce, 'f', ARGV[7], 'top', '0', 'lo', '1', 'fn', ARGV[8],
  'run', '0', 'att', '0', 'rb', '0', 'len', '0', 'pl', '0', 'open', '0', 'stop', '', 'mid', '', 'exp', t[1], 'tn', #ARGV - 13,
  'wait', ARGV[11], 'hd', ARGV[12])
if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 'res', ARGV[9]) end
if ARGV[10] ~= '' then redis.call('HSET', KEYS[1], 'fail', ARGV[10]) end
for i = 14, #ARGV do redis.call('RPUSH', KEYS[4], ARGV[i]) end
for i = 1, 5 do redis.call('EXPIRE', KEYS[i], 86400) end
return {'OK', nonce}
