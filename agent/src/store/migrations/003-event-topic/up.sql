-- What an event is about, for whoever picks some out: state, step, pull, lock, wait, or (any other) note.
ALTER TABLE event ADD COLUMN topic TEXT NOT NULL DEFAULT 'note' CHECK (topic <> '');
