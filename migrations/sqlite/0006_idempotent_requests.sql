-- Requests that came with an Idempotency-Key, and their outcomes for repetitions.
--
-- A request claims its row before it works. The outcome is written in the commit of the work; a claim whose process died
-- without an outcome is free again when its lease is over. Neither the key nor the request stands here, only digests.
create table idempotent_request (
    scope       blob    not null primary key, -- digest of client, method, path and key
    claim_id    blob    not null, -- of the request that runs, or has run
    digest      blob    not null, -- keyed digest of the body
    partner_id  text    not null,
    person_id   text, -- when the path names one, so that the row can be erased with them
    claimed_at  text    not null,
    lease_until text    not null,
    outcome     text, -- of the use case, as JSON; null while there is none
    request_id  text, -- of the request whose outcome it is
    finished_at text  -- the first request is over, and its outcome final
) strict;

create index idempotent_request_age on idempotent_request (claimed_at);
create index idempotent_request_of_person on idempotent_request (partner_id, person_id, claimed_at)
    where person_id is not null;
