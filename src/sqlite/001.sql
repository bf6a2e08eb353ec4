CREATE TABLE events (
    id             TEXT PRIMARY KEY,
    status         TEXT NOT NULL CHECK (status IN ('in_progress', 'done', 'failed')),
    event_type     TEXT NOT NULL,
    subject        TEXT NOT NULL,
    published      TEXT NOT NULL,
    attempts       INTEGER NOT NULL,
    owner          TEXT,
    lease_until_ms INTEGER,
    updated_at_ms  INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    error          TEXT,
    error_class    TEXT CHECK (error_class IN ('retryable', 'permanent'))
) STRICT, WITHOUT ROWID;

CREATE INDEX events_by_expiry ON events (expires_at);
CREATE INDEX events_by_update ON events (updated_at_ms);

CREATE TABLE user_links (
    okta_user   TEXT PRIMARY KEY,
    anypoint_id TEXT NOT NULL,
    username    TEXT NOT NULL,
    origin      TEXT NOT NULL,
    agreed      TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    anypoint_id TEXT PRIMARY KEY,
    okta_user   TEXT NOT NULL,
    tenure      TEXT NOT NULL CHECK (tenure IN ('current', 'former'))
) STRICT, WITHOUT ROWID;

CREATE TABLE team_links (
    okta_group TEXT PRIMARY KEY,
    team_id    TEXT NOT NULL,
    team_name  TEXT NOT NULL,
    origin     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE teams (
    team_id    TEXT PRIMARY KEY,
    okta_group TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE intents (
    okta_user  TEXT PRIMARY KEY,
    username   TEXT NOT NULL,
    holder     TEXT NOT NULL,
    until_ms   INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE fresh_teams (
    okta_user TEXT NOT NULL,
    team_id   TEXT NOT NULL,
    written   TEXT NOT NULL CHECK (written IN ('joined', 'left')),
    until_ms  INTEGER NOT NULL,
    PRIMARY KEY (okta_user, team_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE documents (
    name    TEXT PRIMARY KEY,
    json    TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid          TEXT NOT NULL,
    subject       TEXT NOT NULL,
    body          TEXT NOT NULL,
    sent_at_ms    INTEGER NOT NULL,
    visible_at_ms INTEGER NOT NULL,
    receipt       TEXT,
    receive_count INTEGER NOT NULL DEFAULT 0,
    postponed     INTEGER NOT NULL DEFAULT 0 CHECK (postponed IN (0, 1)),
    dead          INTEGER NOT NULL DEFAULT 0 CHECK (dead IN (0, 1))
) STRICT;

CREATE INDEX messages_by_subject ON messages (dead, subject, visible_at_ms);
CREATE UNIQUE INDEX messages_by_receipt ON messages (receipt) WHERE receipt IS NOT NULL;

CREATE INDEX messages_received ON messages (receive_count) WHERE dead = 0 AND receive_count > 0;

CREATE TABLE sent (
    uuid       TEXT PRIMARY KEY,
    sent_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sent_by_time ON sent (sent_at_ms);
