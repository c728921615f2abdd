-- Whether the broker has a copy that goes when the letter is closed.
ALTER TABLE dead_letters ADD COLUMN copied INTEGER NOT NULL DEFAULT 0;
-- Whose copies are to go.
CREATE INDEX dead_letters_copied ON dead_letters (sequence) WHERE copied = 1 AND state = 'closed';
-- What somebody asked for, and nobody has carried out (wanted: replay, replay-key, drop); in order, and counted.
CREATE INDEX dead_letters_wanted ON dead_letters (destination, sequence) WHERE wanted IS NOT NULL AND state <> 'closed';
CREATE INDEX dead_letters_asked ON dead_letters (wanted) WHERE wanted IS NOT NULL AND state <> 'closed';
-- What stands open: listed, counted with the oldest of each kind, and by the keys that wait.
CREATE INDEX dead_letters_listed ON dead_letters (sequence) WHERE state <> 'closed';
CREATE INDEX dead_letters_counted ON dead_letters (kind, created_at) WHERE state <> 'closed';
CREATE INDEX dead_letters_keys ON dead_letters (event_key)
    WHERE state <> 'closed' AND kind <> 'invalid' AND kind <> 'foreign';
