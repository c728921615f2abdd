-- Whether the broker has a copy that goes when the letter is closed.
ALTER TABLE dead_letters ADD COLUMN copied INTEGER NOT NULL DEFAULT 0;
-- What somebody asked for, and nobody has carried out. (wanted: replay, replay-key, drop)
CREATE INDEX dead_letters_wanted ON dead_letters (destination, sequence) WHERE wanted IS NOT NULL AND state <> 'closed';
-- Whose copies are to go.
CREATE INDEX dead_letters_copied ON dead_letters (sequence) WHERE copied = 1 AND state = 'closed';
-- What is listed and counted.
CREATE INDEX dead_letters_listed ON dead_letters (sequence, kind, event_key, created_at) WHERE state <> 'closed';
