-- ARGV 6 counter 7 nonce 8 fence 9 run 10 attempt 11 at 12 len 13 text 14 type
-- Returns OK seq ts | MISSING | EPOCH | FENCED | REBEGIN | STOPPED | GAP have
-- Atomic because the fence, the position and the write must be one step.
-- Repeated: the same text at the same position answers OK and adds nothing.
local m = redis.call('HMGET', KEYS[1], 'c', 'n', 'f', 'top', 'run', 'att', 'rb', 'len', 'pl', 'open', 'stop', 'exp', 'lo', 'as', 'at', 'tn')
if not m[1] then return {'MISSING'} end
if m[1] ~= ARGV[6] or m[2] ~= ARGV[7] then return {'EPOCH'} end
if tonumber(ARGV[8]) < tonumber(m[3]) then return {'FENCED'} end
if tonumber(ARGV[8]) > tonumber(m[3]) or m[5] ~= ARGV[9] or m[6] ~= ARGV[10] or m[10] ~= '1' then return {'REBEGIN'} end
if redis.call('STRLEN', KEYS[3]) ~= tonumber(m[9]) or not whole(m[16]) then return {'MISSING'} end
local at, len, have = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(m[8])
local sec, ts = now()
if at < have then
  -- The answer is the first one's: between the two a stop mark or a fact may
  -- have taken the newest number.
  if at + len == have and m[14] and redis.call('GETRANGE', KEYS[3], -#ARGV[13], -1) == ARGV[13] then return {'OK', m[14], m[15]} end
  return {'GAP', m[8]}
end
if m[11] ~= '' then return {'STOPPED'} end
if at > have then return {'GAP', m[8]} end
local seq = string.format('%.0f', tonumber(m[4]) + 1)
log(m[1] .. '.' .. m[2], seq, ts, ARGV[14], m[5], m[6], m[7], ARGV[11], ARGV[12], '0', ARGV[13])
local bytes = redis.call('APPEND', KEYS[3], ARGV[13])
redis.call('HSET', KEYS[1], 'top', seq, 'len', string.format('%.0f', have + len), 'pl', bytes, 'as', seq, 'at', ts)
trim(tonumber(seq), tonumber(m[13]))
if have == 0 then m[12] = nil end
keep(sec, m[12])
return {'OK', seq, ts}
