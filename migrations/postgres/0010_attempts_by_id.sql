-- no-transaction: the table is in use
-- Housekeeping finds attempts and codes by the instant in their ids. An index on when they expire would serve it as well,
-- but while statistics say that hardly any are open, as after a quiet night, Postgres takes such an index for the cheapest
-- way to a single one, and then reads all that have been opened since for each request: what takes a tenth of a millisecond
-- took several.
create index concurrently if not exists mobile_number_code on mobile_number (challenge_id)
 where challenge_id is not null;
