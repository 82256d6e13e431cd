-- The audit trail: what was done or refused, for whom, at whose request. Rows are only ever added.
--
-- A request adds its event to audit_pending in the commit of its change. A background sealer moves events, in batches, to
-- audit_event and chains each batch to the one before it, so that no request waits for the partner's chain.
-- The person's id is covered by the chain through a salted digest alone: erasing id and salt leaves the chain intact.
create table audit_pending (
    partner_id    text    not null,
    event_id      blob    not null,
    client_id     text    not null, -- or `operator`, for the command line
    action        text    not null,
    outcome       text    not null, -- `accepted`, or why it was refused
    person_id     text,
    person_salt   blob,
    person_digest blob,
    object_id     blob, -- the device, challenge or number
    key_id        blob,
    occurred_at   text    not null,
    country       text, -- what `sms resume` is about
    primary key (partner_id, event_id)
) strict;

create table audit_event (
    partner_id    text    not null,
    seal          integer not null,
    event_id      blob    not null,
    client_id     text    not null,
    action        text    not null,
    outcome       text    not null,
    person_id     text,
    person_salt   blob,
    person_digest blob,
    object_id     blob,
    key_id        blob,
    occurred_at   text    not null,
    country       text,
    primary key (partner_id, seal, event_id)
) strict;

create index audit_event_of_person on audit_event (partner_id, person_id, event_id) where person_id is not null;

-- One batch: its hash covers the hash before it and every event in it, in the order of their ids.
create table audit_seal (
    partner_id    text    not null,
    seal          integer not null, -- 1, 2, 3 ...
    events        integer not null,
    previous_hash blob    not null,
    hash          blob    not null,
    sealed_at     text    not null,
    primary key (partner_id, seal)
) strict;

-- `audit export --since` finds its first batch by this.
create index audit_seal_age on audit_seal (partner_id, sealed_at, seal);

-- The end of each partner's chain; whoever seals or erases holds this row.
create table audit_chain (
    partner_id text    not null primary key,
    seals      integer not null,
    head       blob    not null
) strict;
