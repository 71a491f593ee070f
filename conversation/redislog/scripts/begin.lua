-- ARGV 6 counter 7 nonce 8 fence 9 run 10 attempt 11 how 12 text 13 len
--      14 base 15 purpose 16 data of started 17 message id 18 reason
-- Returns OK base len text stopped | MISSING | EPOCH | FENCED | UNKNOWN
-- Atomic because keeping text and raising the fence must be one step: between
-- a read of the text and a later BEGIN the old writer may add to it.
-- Repeated: the same (run, attempt, fence) answers the open text again.
local m = redis.call('HMGET', KEYS[1], 'c', 'n', 'f', 'top', 'run', 'att', 'rb', 'len', 'pl', 'open', 'stop', 'exp', 'over', 'tn')
if not m[1] then return {'MISSING'} end
if m[1] ~= ARGV[6] or m[2] ~= ARGV[7] then return {'EPOCH'} end
if tonumber(ARGV[8]) < tonumber(m[3]) then return {'FENCED'} end
-- A late duplicate must not open a run again that has ended.
if m[13] and tonumber(ARGV[8]) <= tonumber(m[13]) then return {'FENCED'} end
if not whole(m[14]) then return {'MISSING'} end
local open = m[10] == '1' and m[5] == ARGV[9]
if open and redis.call('STRLEN', KEYS[3]) ~= tonumber(m[9]) then return {'MISSING'} end
local function answer(base, len, stop)
  return {'OK', base, len, redis.call('GET', KEYS[3]) or '', stop}
end
if open and m[6] == ARGV[10] and m[3] == ARGV[8] then return answer(m[7], m[8], m[11]) end

local sec, ts = now()
local epoch, top = m[1] .. '.' .. m[2], tonumber(m[4])
local function mark(kind, base, at, len, payload)
  top = top + 1
  log(epoch, string.format('%.0f', top), ts, ARGV[15] .. kind, ARGV[9], ARGV[10], base, at, len, '0', payload)
end
if ARGV[11] == 'cont' then
  if not open then
    -- The caller will open the run anew: an earlier writer that has not begun
    -- yet must not come between and show text that this would take back.
    redis.call('HSET', KEYS[1], 'f', ARGV[8])
    return {'UNKNOWN'}
  end
  mark('.recovering', m[7], m[8], '0', '{"reason":"' .. ARGV[18] .. '","attempt":' .. ARGV[10] .. '}')
  mark('.resumed', m[7], m[8], '0', '')
  redis.call('HSET', KEYS[1], 'f', ARGV[8], 'att', ARGV[10], 'top', string.format('%.0f', top))
  keep(sec, m[12])
  return answer(m[7], m[8], m[11])
end
local base, len, bytes, text = ARGV[10], '0', 0, ''
local kind = ARGV[10] == '1' and '.started' or '.restarted'
if ARGV[11] ~= 'restart' then base, len, text, kind = ARGV[14], ARGV[13], ARGV[12], '.started' end
-- First what a Redis without room refuses (see lib.lua).
mark(kind, base, '0', '0', ARGV[16])
redis.call('DEL', KEYS[3])
redis.call('HDEL', KEYS[1], 'fail')
if text ~= '' then
  mark('.delta', base, '0', len, text)
  bytes = redis.call('APPEND', KEYS[3], text)
end
redis.call('HSET', KEYS[1], 'f', ARGV[8], 'run', ARGV[9], 'att', ARGV[10], 'rb', base, 'len', len, 'pl', bytes,
  'open', '1', 'stop', '', 'mid', ARGV[17], 'pu', ARGV[15], 'wait', '0', 'top', string.format('%.0f', top))
keep(sec, nil)
return answer(base, len, '')
