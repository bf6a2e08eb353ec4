ALTER TABLE user_links ADD COLUMN reset_mail TEXT NOT NULL DEFAULT 'settled'
    CHECK (reset_mail IN ('settled', 'owed'));
