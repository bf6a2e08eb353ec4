-- Who asked for it at Okta.
ALTER TABLE events ADD COLUMN actor TEXT;
