-- Taking a message out must not cost more the more messages wait. So each subject that has messages has one row here, which
-- says from when on the next of them can be taken. The triggers below keep it, whoever writes messages.
CREATE TABLE subjects (
    subject     TEXT PRIMARY KEY,
    ready_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX subjects_by_time ON subjects (ready_at_ms);

INSERT INTO subjects (subject, ready_at_ms)
SELECT subject, MAX(visible_at_ms) FROM messages WHERE dead = 0 GROUP BY subject;

-- How many messages there are that are not set aside.
CREATE TABLE queue_length (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    live     INTEGER NOT NULL
) STRICT;

INSERT INTO queue_length (only_row, live) SELECT 1, COUNT(*) FROM messages WHERE dead = 0;

DROP INDEX messages_received;
-- The messages of one subject by `seq`, which each index ends with.
CREATE INDEX messages_in_order ON messages (subject) WHERE dead = 0;
CREATE INDEX messages_out ON messages (visible_at_ms)
WHERE dead = 0 AND postponed = 0 AND receipt IS NOT NULL;
CREATE INDEX messages_postponed ON messages (visible_at_ms) WHERE dead = 0 AND postponed = 1;

CREATE TRIGGER message_sent AFTER INSERT ON messages WHEN NEW.dead = 0
BEGIN
    UPDATE queue_length SET live = live + 1;
    -- A subject keeps its place in the line when more messages come.
    INSERT INTO subjects (subject, ready_at_ms) VALUES (NEW.subject, NEW.visible_at_ms)
    ON CONFLICT (subject) DO UPDATE SET ready_at_ms = excluded.ready_at_ms
    WHERE NEW.visible_at_ms > NEW.sent_at_ms AND excluded.ready_at_ms > ready_at_ms;
END;

CREATE TRIGGER message_changed AFTER UPDATE OF visible_at_ms, dead ON messages
BEGIN
    UPDATE queue_length SET live = live + OLD.dead - NEW.dead WHERE OLD.dead <> NEW.dead;
    DELETE FROM subjects WHERE subject = NEW.subject;
    INSERT INTO subjects (subject, ready_at_ms)
    SELECT subject, visible_at_ms FROM messages WHERE dead = 0 AND subject = NEW.subject
    ORDER BY visible_at_ms DESC LIMIT 1;
END;

CREATE TRIGGER message_removed AFTER DELETE ON messages WHEN OLD.dead = 0
BEGIN
    UPDATE queue_length SET live = live - 1;
    DELETE FROM subjects WHERE subject = OLD.subject;
    INSERT INTO subjects (subject, ready_at_ms)
    SELECT subject, visible_at_ms FROM messages WHERE dead = 0 AND subject = OLD.subject
    ORDER BY visible_at_ms DESC LIMIT 1;
END;

-- An event is its uuid together with its subject. What was remembered lasts five minutes only.
DROP TABLE sent;
CREATE TABLE sent (
    uuid       TEXT NOT NULL,
    subject    TEXT NOT NULL,
    sent_at_ms INTEGER NOT NULL,
    PRIMARY KEY (uuid, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX sent_by_time ON sent (sent_at_ms);
