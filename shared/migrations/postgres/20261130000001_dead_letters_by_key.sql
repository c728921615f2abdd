-- Which keys are parked, and behind which letter: the first of each key is found at once, however many stand behind it.
CREATE INDEX dead_letters_parking ON dead_letters (destination, event_key, sequence)
    WHERE state <> 'closed' AND kind NOT IN ('invalid', 'foreign');
DROP INDEX dead_letters_open;
DROP INDEX dead_letters_keys;
-- What stands open of one key, in order.
CREATE INDEX dead_letters_of_key ON dead_letters (event_key, sequence) WHERE state <> 'closed';
-- What somebody asked for, with all that tells whose it is: who has none of it reads no letters to learn that.
DROP INDEX dead_letters_wanted;
CREATE INDEX dead_letters_wanted ON dead_letters (destination, sequence, event_key, partition, state)
    WHERE wanted IS NOT NULL AND state <> 'closed';
-- What replays found invalid, among any number of those that came so.
CREATE INDEX dead_letters_refused ON dead_letters (sequence)
    WHERE state <> 'closed' AND kind = 'invalid' AND generation > 0;
