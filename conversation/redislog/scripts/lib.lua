-- Shared by every script; it is put in front of each.
--
-- KEYS 1 meta hash   2 log stream   3 open text   4 turns list   5 header
--      6 marker of the incarnation
-- ARGV 1 identity mode: 'r' the replication id of this Redis process,
--        'm' the random marker in KEYS 6
--      2 the identity the caller was told, in SQL, by this incarnation
--      3 channel of the bell
--      4 tag of the conversation, carried by every entry and checked on read
--      5 most entries kept
--      6… arguments of the script
--
-- Meta hash: c counter, n nonce, f fence, top newest seq, lo oldest kept seq,
-- fn newest fact, run, att, rb base of the run's text, len its UTF-16 length,
-- pl its bytes, open '1' while writable, stop position of the stop mark or '',
-- mid message id, pu purpose, res result, fail failure, exp second of the last EXPIRE,
-- as and at seq and time of the newest append, over highest fence of an ended
-- run, tn turns kept, wait run that must begin or end before the log counts,
-- hd tip of the active branch as run.turn.
--
-- Why a check of the incarnation in every script: a client builds key names
-- before its pool picks a connection, which may lead to another primary.
-- No step is ever done by half. A Redis that takes no writes at all (a replica,
-- failed saves, too few replicas) refuses the first one and so the script. One
-- whose memory is full refuses only commands that need room, and only as long
-- as the script has written nothing: it never stops in the middle. So the first
-- write of each script that makes something needs room (APPEND, XADD, SET);
-- with DEL in front the whole of it would be done beyond the limit. compact,
-- shred and aside free room, and begin with what is never refused.
local function incarnation()
  local have
  if ARGV[1] == 'r' then
    have = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  else
    have = redis.call('GET', KEYS[6])
  end
  return have == ARGV[2]
end

-- K and A are KEYS and ARGV of one conversation; batch.lua moves them on.
local K, A = KEYS, ARGV

-- Redis' clock, asked once: time stands still within a script anyway.
local sec, msec
local function now()
  if not sec then
    local t = redis.call('TIME')
    sec, msec = tonumber(t[1]), string.format('%.0f', tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000))
  end
  return sec, msec
end

-- Every key lives a day after the last write; EXPIRE at most each 10 minutes,
-- and (exp nil) whenever a step has made a key, which has no term yet.
local function keep(sec, exp)
  if not exp or sec - tonumber(exp) > 600 then
    for i = 1, 5 do redis.call('EXPIRE', K[i], 86400) end
    redis.call('HSET', K[1], 'exp', string.format('%.0f', sec))
  end
end

-- Adds one entry and rings the bell with the same bytes. The id is the seq,
-- so Redis itself refuses a number twice. alone '1': the caller listens and
-- takes what it has written from the answer; with nobody else there the bell
-- would only wake the one who rings it.
local function log(epoch, seq, ts, kind, run, att, base, at, len, fact, payload, alone)
  local e = A[4] .. '|' .. kind .. '|' .. run .. '|' .. att .. '|' .. base .. '|' .. at .. '|' .. len .. '|' .. fact .. '|' .. ts .. '|' .. payload
  redis.call('XADD', K[2], seq .. '-0', 'e', e)
  if alone == '1' then
    local n = redis.pcall('PUBSUB', 'NUMSUB', A[3])
    if n[2] == 1 then return end
  end
  redis.call('PUBLISH', A[3], epoch .. '.' .. seq .. '|' .. e)
end

-- Trims from the front only, in steps, so that most appends do not trim.
local function trim(top, lo)
  local max = tonumber(A[5])
  if top - lo >= max + max / 8 then
    redis.call('XTRIM', K[2], 'MAXLEN', max)
    redis.call('HSET', K[1], 'lo', string.format('%.0f', top - max + 1))
  end
end

-- Header and turns are read with every snapshot; one that vanished alone must
-- not read as an empty conversation.
local function whole(tn)
  return redis.call('EXISTS', K[5]) == 1 and redis.call('LLEN', K[4]) == tonumber(tn or -1)
end

if not incarnation() then return {'INC'} end
