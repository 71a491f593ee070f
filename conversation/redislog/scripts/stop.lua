-- ARGV 6 counter 7 nonce 8 run
-- Returns OK base len text | MISSING | EPOCH | NOTOPEN
-- Marks where the open text ends: after this step no append of any attempt
-- adds to it. Repeated: the same position.
local m = redis.call('HMGET', KEYS[1], 'c', 'n', 'top', 'run', 'att', 'rb', 'len', 'pl', 'open', 'stop', 'exp', 'pu')
if not m[1] then return {'MISSING'} end
if m[1] ~= ARGV[6] or m[2] ~= ARGV[7] then return {'EPOCH'} end
if m[9] ~= '1' or m[4] ~= ARGV[8] then return {'NOTOPEN'} end
if redis.call('STRLEN', KEYS[3]) ~= tonumber(m[8]) then return {'MISSING'} end
if m[10] == '' then
  local sec, ts = now()
  local seq = string.format('%.0f', tonumber(m[3]) + 1)
  log(m[1] .. '.' .. m[2], seq, ts, m[12] .. '.stopping', m[4], m[5], m[6], m[7], '0', '0', '')
  redis.call('HSET', KEYS[1], 'top', seq, 'stop', m[7])
  keep(sec, m[11])
end
return {'OK', m[6], m[7], redis.call('GET', KEYS[3]) or ''}
