-- ARGV 6 counter 7 nonce 8 fence 9 run 10 attempt 11 at 12 len 13 text 14 type
--      15 '1' when the caller listens to the bell
-- Returns OK seq ts | MISSING | EPOCH | FENCED | REBEGIN | STOPPED | GAP have
-- Atomic because the fence, the position and the write must be one step.
-- Repeated: the same text at the same position answers OK and adds nothing.
local function append()
  local m = redis.call('HMGET', K[1], 'c', 'n', 'f', 'top', 'run', 'att', 'rb', 'len', 'pl', 'open', 'stop', 'exp', 'lo', 'as', 'at', 'tn')
  if not m[1] then return {'MISSING'} end
  if m[1] ~= A[6] or m[2] ~= A[7] then return {'EPOCH'} end
  if tonumber(A[8]) < tonumber(m[3]) then return {'FENCED'} end
  if tonumber(A[8]) > tonumber(m[3]) or m[5] ~= A[9] or m[6] ~= A[10] or m[10] ~= '1' then return {'REBEGIN'} end
  if not whole(m[16]) then return {'MISSING'} end
  local at, len, have = tonumber(A[11]), tonumber(A[12]), tonumber(m[8])
  local sec, ts = now()
  if at < have then
    -- The answer is the first one's: between the two a stop mark or a fact may
    -- have taken the newest number.
    if at + len == have and m[14] and redis.call('GETRANGE', K[3], -#A[13], -1) == A[13] then return {'OK', m[14], m[15]} end
    return {'GAP', m[8]}
  end
  if m[11] ~= '' then return {'STOPPED'} end
  if at > have then return {'GAP', m[8]} end
  local bytes = redis.call('APPEND', K[3], A[13])
  if bytes ~= tonumber(m[9]) + #A[13] then
    -- The open text is not what was counted: gone, or cut. What this step has
    -- begun anew must never pass for it.
    redis.call('DEL', K[3])
    return {'MISSING'}
  end
  local seq = string.format('%.0f', tonumber(m[4]) + 1)
  log(m[1] .. '.' .. m[2], seq, ts, A[14], m[5], m[6], m[7], A[11], A[12], '0', A[13], A[15])
  redis.call('HSET', K[1], 'top', seq, 'len', string.format('%.0f', have + len), 'pl', bytes, 'as', seq, 'at', ts)
  trim(tonumber(seq), tonumber(m[13]))
  if have == 0 then m[12] = nil end
  keep(sec, m[12])
  return {'OK', seq, ts}
end
