-- Stands alone. KEYS 1 lock; ARGV 1 the value seen. Removes the lock of a
-- dead node, only if it is still that lock.
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
