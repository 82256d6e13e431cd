-- The schema. Two rules apply to every table of a partner, that is every table but `client`, `client_secret` and
-- `housekeeping_lease`:
--
-- 1. Each primary key, unique index and foreign key contains `partner_id`, so that partners' rows never conflict and
--    tables can be sharded by partner. A key leads with the id where one index must serve both requests, which know
--    both columns, and housekeeping, which looks for the oldest rows of all partners: ids are UUIDv7, so they are
--    ordered by time.
-- 2. Postgres keeps no statistics on `partner_id` (`set statistics 0`). With statistics it estimates zero rows for a
--    partner that they do not contain, because all its rows are younger than the last `analyze`; then every index that
--    leads with `partner_id` seems equally good, and it may read all rows of the partner to find one. Without
--    statistics it assumes that each partner has one 200th of a table.

-- API clients. A client belongs to one partner; `partner_id` is the tenant key of every other table.
create table client (
    client_id   text        not null primary key,
    partner_id  text        not null,
    name        text,
    permissions text        not null, -- words separated by spaces
    created_at  timestamptz not null,
    revoked_at  timestamptz
);

-- For the pages of `client list`.
create index client_age on client (created_at, client_id);

-- Secrets are random 256-bit strings, so an unsalted SHA-256 is sufficient. During a rotation a client has two.
create table client_secret (
    client_id   text        not null references client (client_id),
    secret_hash bytea       not null,
    created_at  timestamptz not null,
    expires_at  timestamptz,
    primary key (client_id, secret_hash)
);

create index client_secret_expiry on client_secret (expires_at) where expires_at is not null;

-- One mobile number per person. A deleted number leaves no row.
create table mobile_number (
    partner_id  text        not null,
    person_id   text        not null,
    number_id   uuid        not null,
    number      text        not null, -- E.164
    created_at  timestamptz not null,
    verified_at timestamptz,
    asserted_by text, -- the client that asserted the number, without an SMS
    primary key (partner_id, person_id)
);

-- For erasure, which checks whether another person has the number.
create index mobile_number_of_others on mobile_number (partner_id, number);

-- One row per person: the number of bound devices, recent failures, and the newest binding. Every binding and limit of
-- a person is decided in this row: accepting, failing, superseding and deleting each update it conditionally, so that
-- the row lock serializes them. A binding is open while closed_at is null, it has not expired and wrong signatures are
-- left.
create table person (
    partner_id               text        not null,
    person_id                text        not null,
    bound_devices            bigint      not null default 0 check (bound_devices >= 0),
    deleted_devices          bigint      not null default 0 check (deleted_devices >= 0),
    failures                 bigint      not null default 0, -- consecutive, over all challenges
    last_failure_at          timestamptz, -- determines the end of a pause
    binding_id               uuid, -- id of the challenge and of the future device
    binding_key_id           uuid,
    binding_key              bytea, -- SEC 1 uncompressed point, 65 bytes
    binding_key_purpose      text,
    binding_device_name      text,
    binding_otp_version      bigint, -- version of the secret that the code is derived with
    binding_activation_id    uuid, -- the activation code that the answer signs; null for a code sent by SMS
    binding_created_at       timestamptz,
    binding_expires_at       timestamptz,
    binding_wrong_signatures bigint      not null default 0,
    binding_closed_at        timestamptz,
    primary key (partner_id, person_id)
);

-- For requests, which find a binding by its id, and for housekeeping, which looks for the oldest. There is no index on
-- the expiry: when statistics say that few bindings are open, Postgres would choose it to find a single one, and scan
-- all bindings opened since the last `analyze`.
create unique index person_binding on person (binding_id, partner_id);

-- Challenges of other kinds than binding. A challenge that is answered, superseded or closed leaves no row; one that
-- has expired or reached its cap of wrong answers stays until a newer one replaces it or housekeeping deletes it.
create table challenge (
    challenge_id  uuid        not null, -- the code is derived from it
    partner_id    text        not null,
    person_id     text        not null,
    kind          text        not null, -- `number`: confirms the person's mobile number; `sms`: an SMS challenge
    otp_version   bigint      not null, -- version of the secret that the code is derived with
    expires_at    timestamptz not null,
    wrong_answers bigint      not null default 0,
    primary key (challenge_id, partner_id)
);

-- A person has at most one challenge of a kind; a new one overwrites the row.
create unique index challenge_of_person on challenge (partner_id, person_id, kind);

-- Bound devices and the tombstones of deleted ones. Pending devices are in `person` only.
--
-- The list indexes have the state before the id, so that a page of live devices skips tombstones.
create table device (
    partner_id          text        not null,
    state               text        not null default 'live', -- or `deleted`
    device_id           uuid        not null, -- UUIDv7 made when the registration began: orders lists by time
    person_id           text        not null,
    name                text,
    created_at          timestamptz not null, -- when its registration began
    bound_at            timestamptz not null,
    binding_fingerprint bytea       not null, -- of the accepted signature, to recognise a repetition
    live_keys           bigint      not null check (live_keys >= 0),
    failures            bigint      not null default 0, -- wrong signatures in a row, on its own challenges
    last_failure_at     timestamptz,-- the end of a pause follows from it
    deleted_at          timestamptz,
    primary key (partner_id, device_id)
);

create index device_of_partner on device (partner_id, state, device_id);
create index device_of_person on device (partner_id, person_id, state, device_id);

-- Device counts of partners with too many devices to count for each list. Updated in the background.
create table device_count (
    partner_id text   not null primary key,
    live       bigint not null,
    deleted    bigint not null
);

-- Keys of bound and deleted devices. There is no foreign key to the device: a key is inserted in the transaction that
-- binds its device or increments the device's live_keys, devices are never deleted, and the check would cost a binding
-- more than the index entry does.
create table device_key (
    partner_id text        not null,
    device_id  uuid        not null,
    key_id     uuid        not null,
    public_key bytea       not null,
    purpose    text        not null,
    created_at timestamptz not null,
    used_at    timestamptz,
    deleted_at timestamptz,
    primary key (partner_id, device_id, key_id)
);

-- A public key identifies one device, so it is unique among a partner's live keys. Deleting a device frees its keys.
create unique index device_key_taken on device_key (partner_id, public_key) where deleted_at is null;

-- Challenges of bound devices. A row stays after its answer, so that the repeat of an answer is recognised, until
-- housekeeping removes it. It goes with its device: a deleted device has none.
--
-- The challenges of a device have turns: 1, 2, 3 and so on. A challenge is inserted with the turn after the last one that the
-- limit on open challenges was judged by, so the unique index lets one of several parallel inserts through.
create table device_challenge (
    challenge_id   uuid        not null,
    partner_id     text        not null,
    device_id      uuid        not null,
    turn           bigint      not null, -- among the challenges of the device
    person_id      text        not null,
    key_purpose    text        not null, -- of the keys that may sign
    string_to_sign text        not null,
    approval       text,       -- as JSON
    expires_at     timestamptz not null,
    wrong_answers  bigint      not null default 0,
    closed_at      timestamptz, -- when it was answered, or closed without an answer
    decision       text,       -- `approved` or `declined`; null without an answer
    answered_by    uuid,       -- the key that signed
    fingerprint    bytea,      -- of the accepted signature, to recognise a repeat
    reason         text,       -- for a decline, in the client's words
    primary key (challenge_id, partner_id)
) with (fillfactor = 70); -- an answer finds room in the page: no new index entries

create unique index device_challenge_turn on device_challenge (partner_id, device_id, turn);

-- Activation codes. The code itself is derived from the id. A code is live until it has bound a device or has expired;
-- ending it early sets its expiry to now. The codes of a person have turns, as the challenges of a device do: only the
-- newest can be live.
create table activation_code (
    code_id         uuid        not null,
    partner_id      text        not null,
    person_id       text        not null,
    turn            bigint      not null, -- among the codes of the person
    origin          text        not null,
    purpose         text        not null,
    delivery_method text        not null,
    otp_version     bigint      not null, -- version of the secret that the code is derived with
    expires_at      timestamptz not null,
    failures        bigint      not null default 0, -- wrong signatures, over all bindings
    used_at         timestamptz, -- when it bound a device
    primary key (code_id, partner_id)
);

create unique index activation_code_turn on activation_code (partner_id, person_id, turn);

-- For lists.
create index activation_code_of_partner on activation_code (partner_id, code_id);

-- Events of the delivery of a code, reported by the partner. They are deleted with their code.
create table delivery_event (
    partner_id  text        not null,
    code_id     uuid        not null,
    event_id    uuid        not null,
    type        text        not null,
    occurred_at timestamptz not null,
    provider    text,
    details     text,
    primary key (partner_id, code_id, event_id),
    foreign key (code_id, partner_id) references activation_code (code_id, partner_id) on delete cascade
);

-- Fraud assessments and the decisions that followed. The payload is not stored.
create table fraud_assessment (
    assessment_id uuid             not null, -- UUIDv7 made at the assessment
    partner_id    text             not null,
    person_id     text             not null,
    object_id     uuid             not null, -- the device, pending or bound
    action        text             not null,
    state         text             not null, -- approve, review, decline, or the reason for no verdict
    score         double precision,
    provider_id   text,
    latency_ms    bigint           not null,
    allowed       text             not null, -- yes or no: the decision
    assessed_at   timestamptz      not null,
    primary key (assessment_id, partner_id)
);

create index fraud_assessment_of_person on fraud_assessment (partner_id, person_id, assessment_id);

-- Requests with an Idempotency-Key, and their outcomes for repetitions.
--
-- A request claims its row before its work. The outcome is stored in the work's transaction; the claim of a process
-- that crashed without an outcome is free again when its lease expires. The row holds digests of the key and the
-- request, not their text.
create table idempotent_request (
    partner_id  text        not null,
    scope       bytea       not null, -- digest of partner, client, method, path and key
    claim_id    uuid        not null, -- of the request that is running or has run
    digest      bytea       not null, -- keyed digest of the body
    person_id   text, -- if the path names one, for erasure
    claimed_at  timestamptz not null,
    lease_until timestamptz not null,
    outcome     text, -- of the use case, as JSON
    request_id  text, -- of the request that stored the outcome
    finished_at timestamptz, -- when the request ended; its outcome is final
    primary key (partner_id, scope)
);

create index idempotent_request_age on idempotent_request (claimed_at);
create index idempotent_request_of_person on idempotent_request (partner_id, person_id, claimed_at)
    where person_id is not null;

-- Recent messages, for the SMS limits: a row for each code that was, or is about to be, handed to a provider. It counts
-- against its number and its person, and is deleted when it is older than every limit's window.
--
-- Messages to a number have turns: 1, 2, 3 and so on. A message takes the turn after the last one that its limits were
-- checked against, so that the unique index lets only one of several concurrent messages in. The same for a person. A
-- message that no provider accepted keeps its turns and does not count.
--
-- Erasure sets person_id to null, and number to null in all rows to a number that the person has, or had when the row
-- was written, and that no other person of the partner has. A row with neither is deleted. So the limit of a number
-- that another person has survives the erasure, as do messages for another person.
create table sms_sent (
    message_id  uuid   not null, -- id of the challenge whose code it carries
    partner_id  text   not null,
    number      text, -- E.164; null after an erasure
    number_turn bigint not null, -- among the messages to the number
    person_id   text, -- null after an erasure
    person_turn bigint not null, -- among the messages for the person
    sent_at     bigint not null, -- microseconds since 1970; 0 if no provider accepted the message
    primary key (message_id, partner_id)
);

create unique index sms_sent_to_number on sms_sent (partner_id, number, number_turn);
create unique index sms_sent_for_person on sms_sent (partner_id, person_id, person_turn);

-- How far ahead of its SMS rate each partner is: each message moves the instant forward by one interval of that rate.
create table sms_partner_rate (
    partner_id text   not null primary key,
    ahead_to   bigint not null -- microseconds since 1970
);

-- Codes sent and used, per minute of sending. Replicas add their counts every few seconds, so a minute has one row,
-- regardless of the number of codes.
create table sms_conversion (
    partner_id     text        not null,
    country        text        not null, -- ISO 3166-1 alpha-2; ZZ for networks without a country
    sent_in_minute timestamptz not null, -- start of the minute
    sent           bigint      not null,
    used           bigint      not null,
    primary key (partner_id, country, sent_in_minute)
);

-- For the conversion check, which reads the newest minutes of all partners, and housekeeping, which reads the oldest.
create index sms_conversion_minute on sms_conversion (sent_in_minute);

-- `sms resume`: codes sent before reset_at no longer count.
create table sms_conversion_reset (
    partner_id text        not null,
    country    text        not null,
    reset_at   timestamptz not null,
    primary key (partner_id, country)
);

-- The audit trail: what was done or refused, for which person, by which client. Append-only, but for erasure.
--
-- A request inserts its event into audit_pending in the transaction of its change. A background sealer moves events in
-- batches to audit_event and chains each batch to its predecessor, so that no request waits for the partner's chain.
-- The chain covers the person's id only through a salted digest, so erasing id and salt leaves the chain valid.
create table audit_pending (
    partner_id    text        not null,
    event_id      uuid        not null,
    client_id     text        not null, -- or `operator` for the command line
    action        text        not null,
    outcome       text        not null, -- `accepted`, or the reason for the refusal
    person_id     text,
    person_salt   bytea,
    person_digest bytea,
    object_id     uuid,                 -- the device, challenge or number
    key_id        uuid,
    occurred_at   timestamptz not null,
    country       text,                 -- for `sms resume`
    decision      text,                 -- of a device: `approved` or `declined`
    decline_reason text,                -- `not_me`, `other` or `none`
    text_digest   bytea,                -- SHA-256 of the text that the device signed
    signature_digest bytea,             -- the signature's fingerprint
    primary key (partner_id, event_id)
);

create table audit_event (
    partner_id    text        not null,
    seal          bigint      not null,
    event_id      uuid        not null,
    client_id     text        not null,
    action        text        not null,
    outcome       text        not null,
    person_id     text,
    person_salt   bytea,
    person_digest bytea,
    object_id     uuid,
    key_id        uuid,
    occurred_at   timestamptz not null,
    country       text,
    decision      text,
    decline_reason text,
    text_digest   bytea,
    signature_digest bytea,
    primary key (partner_id, seal, event_id)
);

create index audit_event_of_person on audit_event (partner_id, person_id, event_id) where person_id is not null;

-- The texts of approvals that devices signed, each with the audit event that has its digest. They can be erased and expire
-- without a change to the chain.
create table approval_text (
    event_id       uuid        not null, -- UUIDv7 made at the answer
    partner_id     text        not null,
    person_id      text        not null,
    string_to_sign text        not null, -- of a decline: with its own first line
    reason         text,                 -- for a decline, in the client's words
    answered_at    timestamptz not null,
    primary key (event_id, partner_id)
);

create index approval_text_of_person on approval_text (partner_id, person_id, event_id);

-- One sealed batch: its hash covers the previous batch's hash and all its events, in the order of their ids.
create table audit_seal (
    partner_id    text        not null,
    seal          bigint      not null, -- 1, 2, 3 ...
    events        bigint      not null,
    previous_hash bytea       not null,
    hash          bytea       not null,
    sealed_at     timestamptz not null,
    primary key (partner_id, seal)
);

-- For `audit export --since`, which finds its first batch by instant.
create index audit_seal_age on audit_seal (partner_id, sealed_at, seal);

-- The head of each partner's chain. Sealing and erasure lock this row.
create table audit_chain (
    partner_id text   not null primary key,
    seals      bigint not null,
    head       bytea  not null
);

-- Leases of background tasks: the replica that runs each. Another replica takes over an expired lease.
create table housekeeping_lease (
    task       text        not null primary key,
    holder     uuid        not null,
    held_until timestamptz not null
);

-- Erasures in progress or interrupted: a row exists from the first commit to the last.
create table person_erasure (
    partner_id text        not null,
    person_id  text        not null,
    pseudonym  text        not null, -- the id that replaces the person's
    begun_at   timestamptz not null,
    steps      bigint      not null, -- commits so far
    primary key (partner_id, person_id)
);

-- Rule 2.
alter table mobile_number alter column partner_id set statistics 0;
alter table person alter column partner_id set statistics 0;
alter table challenge alter column partner_id set statistics 0;
alter table device alter column partner_id set statistics 0;
alter table device_count alter column partner_id set statistics 0;
alter table device_key alter column partner_id set statistics 0;
alter table device_challenge alter column partner_id set statistics 0;
alter table activation_code alter column partner_id set statistics 0;
alter table delivery_event alter column partner_id set statistics 0;
alter table fraud_assessment alter column partner_id set statistics 0;
alter table idempotent_request alter column partner_id set statistics 0;
alter table sms_sent alter column partner_id set statistics 0;
alter table sms_partner_rate alter column partner_id set statistics 0;
alter table sms_conversion alter column partner_id set statistics 0;
alter table sms_conversion_reset alter column partner_id set statistics 0;
alter table audit_pending alter column partner_id set statistics 0;
alter table audit_event alter column partner_id set statistics 0;
alter table approval_text alter column partner_id set statistics 0;
alter table audit_seal alter column partner_id set statistics 0;
alter table audit_chain alter column partner_id set statistics 0;
alter table person_erasure alter column partner_id set statistics 0;
