-- One owner a subject. What was remembered of users moves into the memo of their lease.
CREATE TABLE leases (
    subject        TEXT PRIMARY KEY,
    owner          TEXT,
    lease_until_ms INTEGER,
    updated_at_ms  INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    memo           TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX leases_by_expiry ON leases (expires_at);

INSERT INTO leases (subject, updated_at_ms, expires_at, memo)
SELECT 'user#' || okta_user, 0, expires_at, json_object('intent', json_object('username', username))
FROM intents;

DROP TABLE intents;
DROP TABLE fresh_teams;

-- Records can wait for a second look, and say what was done.
CREATE TABLE events_3 (
    id             TEXT PRIMARY KEY,
    status         TEXT NOT NULL CHECK (status IN ('in_progress', 'waiting', 'done', 'failed')),
    event_type     TEXT NOT NULL,
    subject        TEXT NOT NULL,
    published      TEXT NOT NULL,
    attempts       INTEGER NOT NULL,
    owner          TEXT,
    lease_until_ms INTEGER,
    updated_at_ms  INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    error          TEXT,
    error_class    TEXT CHECK (error_class IN ('retryable', 'permanent')),
    error_code     TEXT,
    applied        TEXT,
    unfinished     INTEGER NOT NULL DEFAULT 0,
    waits_until_ms INTEGER,
    waits_for      TEXT,
    reason         TEXT
) STRICT, WITHOUT ROWID;

INSERT INTO events_3 (id, status, event_type, subject, published, attempts, owner, lease_until_ms,
                      updated_at_ms, expires_at, error, error_class)
SELECT id, status, event_type, subject, published, attempts, owner, lease_until_ms,
       updated_at_ms, expires_at, error, error_class
FROM events;

DROP TABLE events;
ALTER TABLE events_3 RENAME TO events;
CREATE INDEX events_by_expiry ON events (expires_at);
CREATE INDEX events_by_update ON events (updated_at_ms);
CREATE INDEX events_by_subject ON events (subject, updated_at_ms);

-- An account that was created for a user by a run that died before it linked it.
ALTER TABLE accounts ADD COLUMN origin TEXT CHECK (origin IN ('created'));
