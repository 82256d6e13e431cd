-- A failure counts with those before it while each came soon enough after the last one. A person is paused while the run is
-- full and its last failure is young enough, so the end of the pause is not stored.
alter table person rename column failures_since to last_failure_at;
alter table person drop column cooling_until;
