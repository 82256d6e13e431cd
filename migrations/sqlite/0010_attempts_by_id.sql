-- Attempts and codes are found by the instant in their ids from now on. While statistics said that hardly any were open, as
-- after a quiet night, Postgres took the index on when they expire for the cheapest way to a single one, and then read all
-- that had been opened since for each request: what took a tenth of a millisecond took several.
drop index person_attempt_expiry;
drop index mobile_number_code_expiry;

create index mobile_number_code on mobile_number (challenge_id) where challenge_id is not null;
