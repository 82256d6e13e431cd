-- The schema. Two rules hold for every table of a partner, which is every table but `client`, `client_secret` and
-- `housekeeping_lease`:
--
-- 1. Each primary key, unique index and foreign key contains `partner_id`. Then no row stands in the way of another
--    partner's, and the tables can be spread over machines by partner. A key begins with the id where one index has to serve
--    a request, which knows both, and housekeeping, which looks for the oldest rows of all partners: ids are UUIDv7, so
--    their order is that of time.
-- 2. Each table has the columns of its twin for Postgres.

-- Who may call. A client belongs to one partner; the partner's name is the tenant key of every other table.
create table client (
    client_id   text not null primary key,
    partner_id  text not null,
    name        text,
    permissions text not null, -- words separated by spaces
    created_at  text not null,
    revoked_at  text
) strict;

-- `client list` finds its pages by this.
create index client_age on client (created_at, client_id);

-- Secrets are random 256-bit strings, so a plain SHA-256 is enough to keep them unreadable.
-- During a rotation a client has two.
create table client_secret (
    client_id   text not null references client (client_id),
    secret_hash blob not null,
    created_at  text not null,
    expires_at  text,
    primary key (client_id, secret_hash)
) strict;

create index client_secret_expiry on client_secret (expires_at) where expires_at is not null;

-- One mobile number per person. A deleted number leaves no row.
create table mobile_number (
    partner_id  text not null,
    person_id   text not null,
    number_id   blob not null,
    number      text not null, -- E.164
    created_at  text not null,
    verified_at text,
    asserted_by text, -- the client that vouched for the number instead of an SMS
    primary key (partner_id, person_id)
) strict;

-- Erasing a person looks whether another one has the number.
create index mobile_number_of_others on mobile_number (partner_id, number);

-- One row per person: how many devices are bound, how often the person has failed of late, and the newest attempt to
-- bind another device.
-- The row is the one place where attempts and limits of a person are settled: a verification, a failure, a superseding
-- attempt and a deletion each change this row under a condition, so that the database puts them in an order.
-- An attempt is open while closed_at is null, it has not expired and wrong signatures are left.
create table person (
    partner_id               text    not null,
    person_id                text    not null,
    bound_devices            integer not null default 0 check (bound_devices >= 0),
    deleted_devices          integer not null default 0 check (deleted_devices >= 0),
    failures                 integer not null default 0, -- in a row, all challenges together
    last_failure_at          text, -- the end of a pause follows from it
    binding_id               blob, -- the challenge's id and the id of the device to be
    binding_key_id           blob,
    binding_key              blob, -- SEC 1 uncompressed point, 65 bytes
    binding_key_purpose      text,
    binding_device_name      text,
    binding_otp_version      integer,
    binding_created_at       text,
    binding_expires_at       text,
    binding_wrong_signatures integer not null default 0,
    binding_closed_at        text,
    primary key (partner_id, person_id)
) strict;

-- Requests find an attempt by its id, and housekeeping the oldest ones. An index on when they expire would serve housekeeping
-- as well, but while statistics say that hardly any are open, as after a quiet night, Postgres takes such an index for the
-- cheapest way to a single one, and then reads all that have been opened since for each request.
create unique index person_binding on person (binding_id, partner_id);

-- Open challenges that do not bind a device. A challenge that is met, superseded or taken back leaves no row; one that has
-- expired, or has had its wrong answers, stays until a newer one or housekeeping comes.
create table challenge (
    challenge_id  blob    not null, -- the code is derived from it
    partner_id    text    not null,
    person_id     text    not null,
    kind          text    not null, -- `number`: the code that confirms the person's mobile number
    otp_version   integer not null, -- the secret that the code is derived under
    expires_at    text    not null,
    wrong_answers integer not null default 0,
    primary key (challenge_id, partner_id)
) strict;

-- A person has one code for their number at a time: another one takes the row over.
create unique index challenge_number_code on challenge (partner_id, person_id) where kind = 'number';

-- Bound devices and the tombstones of deleted ones. A pending device is not here: nothing can find it by mistake.
--
-- A request finds a device by its id. In the indexes of the lists the state stands before the id, so that a page of live
-- devices does not read through tombstones, however many there are.
create table device (
    partner_id          text    not null,
    state               text    not null default 'live', -- or `deleted`
    device_id           blob    not null, -- made when the registration began, so lists in its order are in that of time
    person_id           text    not null,
    name                text,
    created_at          text    not null, -- when its registration began
    bound_at            text    not null,
    binding_fingerprint blob    not null, -- of the accepted signature, to know a repeat
    live_keys           integer not null check (live_keys >= 0),
    deleted_at          text,
    primary key (partner_id, device_id)
) strict;

create index device_of_partner on device (partner_id, state, device_id);
create index device_of_person on device (partner_id, person_id, state, device_id);

-- How many devices a partner has that has too many to be counted for each list. Counted in the background.
create table device_count (
    partner_id text    not null primary key,
    live       integer not null,
    deleted    integer not null
) strict;

-- The keys of bound devices, and of deleted ones. No foreign key leads to the device: a key is inserted in the commit that
-- binds its device or counts it among the device's live keys, no statement deletes a device, and to check the key again
-- costs a binding more than the index entry does.
create table device_key (
    partner_id text not null,
    device_id  blob not null,
    key_id     blob not null,
    public_key blob not null,
    purpose    text not null,
    created_at text not null,
    used_at    text,
    deleted_at text,
    primary key (partner_id, device_id, key_id)
) strict;

-- A public key proves one device, so within a partner it belongs to at most one. A deleted device frees its keys.
create unique index device_key_taken on device_key (partner_id, public_key) where deleted_at is null;

-- What the fraud check said and what we did about it; never the payload.
create table fraud_assessment (
    assessment_id blob    not null, -- made when the device was assessed
    partner_id    text    not null,
    person_id     text    not null,
    object_id     blob    not null, -- what was assessed: the device, or device to be
    action        text    not null,
    state         text    not null, -- approve, review, decline, or why there is no verdict
    score         real,
    provider_id   text,
    latency_ms    integer not null,
    allowed       text    not null, -- yes or no: what we did
    assessed_at   text    not null,
    primary key (assessment_id, partner_id)
) strict;

create index fraud_assessment_of_person on fraud_assessment (partner_id, person_id, assessment_id);

-- Requests that came with an Idempotency-Key, and their outcomes for repetitions.
--
-- A request claims its row before it works. The outcome is written in the commit of the work; a claim whose process died
-- without an outcome is free again when its lease is over. Neither the key nor the request stands here, only digests.
create table idempotent_request (
    partner_id  text not null,
    scope       blob not null, -- digest of partner, client, method, path and key
    claim_id    blob not null, -- of the request that runs, or has run
    digest      blob not null, -- keyed digest of the body
    person_id   text, -- when the path names one, so that the row can be erased with them
    claimed_at  text not null,
    lease_until text not null,
    outcome     text, -- of the use case, as JSON; null while there is none
    request_id  text, -- of the request whose outcome it is
    finished_at text, -- the first request is over, and its outcome final
    primary key (partner_id, scope)
) strict;

create index idempotent_request_age on idempotent_request (claimed_at);
create index idempotent_request_of_person on idempotent_request (partner_id, person_id, claimed_at)
    where person_id is not null;

-- Messages of late, for the limits: a row for each code that was handed to a provider, or is about to be. It counts against
-- its number and against its person, and goes when no window reaches it.
--
-- The messages to a number have turns: 1, 2, 3 and so on. A message is written with the turn after the last one that its
-- limits were judged by, so the unique index lets one of several messages at once through. The same for a person. A message
-- that no provider took keeps its turns and counts for nothing.
--
-- Erasing a person takes the person out of their rows, and the number out of all rows to a number that the person has, or
-- had when the row was written, and no other person of the partner has. A row with neither goes. So the limit of a number
-- that another person has outlives the erasure, and so does what was sent for another person.
create table sms_sent (
    message_id  blob    not null, -- the challenge whose code it carries, which is made before the message is sent
    partner_id  text    not null,
    number      text, -- E.164; null after an erasure
    number_turn integer not null, -- among the messages to the number
    person_id   text, -- null after an erasure
    person_turn integer not null, -- among the messages for the person
    sent_at     integer not null, -- microseconds since 1970; 0 when no provider took the message
    primary key (message_id, partner_id)
) strict;

create unique index sms_sent_to_number on sms_sent (partner_id, number, number_turn);
create unique index sms_sent_for_person on sms_sent (partner_id, person_id, person_turn);

-- How far ahead of its rate each partner is: a send moves the instant forward by the time that it takes at that rate.
create table sms_partner_rate (
    partner_id text    not null primary key,
    ahead_to   integer not null -- microseconds since 1970
) strict;

-- Codes sent and used, by the minute in which they were sent. Replicas add to it every few seconds, so a minute has one
-- row, however many codes.
create table sms_conversion (
    partner_id     text    not null,
    country        text    not null, -- ISO 3166-1 alpha-2; ZZ for networks of no country
    sent_in_minute text    not null, -- the minute's beginning
    sent           integer not null,
    used           integer not null,
    primary key (partner_id, country, sent_in_minute)
) strict;

-- Judgements look at the newest minutes of all partners, housekeeping at the oldest.
create index sms_conversion_minute on sms_conversion (sent_in_minute);

-- From when on codes count again, after an operator had a look.
create table sms_conversion_reset (
    partner_id text not null,
    country    text not null,
    reset_at   text not null,
    primary key (partner_id, country)
) strict;

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

-- The end of each partner's chain. A sealer and an erasure hold this row while they work.
create table audit_chain (
    partner_id text    not null primary key,
    seals      integer not null,
    head       blob    not null
) strict;

-- Which replica does housekeeping now. A replica that finds a lease that is over takes it.
create table housekeeping_lease (
    task       text not null primary key,
    holder     blob not null,
    held_until text not null
) strict;

-- Erasures that are under way or were cut off: a row stands from the first commit of one to its last.
create table person_erasure (
    partner_id text    not null,
    person_id  text    not null,
    pseudonym  text    not null, -- the id that stands in the person's place
    begun_at   text    not null,
    steps      integer not null, -- commits so far
    primary key (partner_id, person_id)
) strict;
