-- Records can be held by the brake, resolved by a later look, or of a dry run.
CREATE TABLE events_5 (
    id             TEXT PRIMARY KEY,
    status         TEXT NOT NULL CHECK (status IN ('in_progress', 'waiting', 'done', 'failed', 'held', 'resolved')),
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
    reason         TEXT,
    dry_run        INTEGER CHECK (dry_run = 1),
    planned        TEXT,
    held_for       TEXT,
    resolved_by    TEXT
) STRICT, WITHOUT ROWID;

INSERT INTO events_5 (id, status, event_type, subject, published, attempts, owner, lease_until_ms,
                      updated_at_ms, expires_at, error, error_class, error_code, applied, unfinished,
                      waits_until_ms, waits_for, reason)
SELECT id, status, event_type, subject, published, attempts, owner, lease_until_ms,
       updated_at_ms, expires_at, error, error_class, error_code, applied, unfinished,
       waits_until_ms, waits_for, reason
FROM events;

DROP TABLE events;
ALTER TABLE events_5 RENAME TO events;
CREATE INDEX events_by_expiry ON events (expires_at);
CREATE INDEX events_by_update ON events (updated_at_ms);
CREATE INDEX events_by_subject ON events (subject, updated_at_ms);

-- What was changed at a remote. One row for each change.
CREATE TABLE audit (
    seq        INTEGER PRIMARY KEY,
    subject    TEXT NOT NULL,
    at_ms      INTEGER NOT NULL,
    entry      TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX audit_by_subject ON audit (subject, at_ms);
CREATE INDEX audit_by_time ON audit (at_ms);
CREATE INDEX audit_by_expiry ON audit (expires_at);

-- Who lost access by an event in the last hour, for the brake.
CREATE TABLE removals (
    person TEXT PRIMARY KEY,
    at_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
