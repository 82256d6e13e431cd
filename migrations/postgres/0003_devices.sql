-- One row per person: how many devices are bound, how often the person has failed of late, and the newest attempt to
-- bind another device.
-- The row is the one place where attempts and limits of a person are settled: a verification, a failure, a superseding
-- attempt and a deletion each change this row under a condition, so that the database puts them in an order.
-- An attempt is open while closed_at is null, it has not expired and wrong signatures are left.
create table person (
    partner_id               text        not null,
    person_id                text        not null,
    bound_devices            bigint      not null default 0 check (bound_devices >= 0),
    failures                 bigint      not null default 0, -- in a row, all challenges together
    last_failure_at          timestamptz, -- the end of a pause follows from it
    last_message_id          uuid,        -- counted last for the person, for the limits of SMS
    binding_id               uuid,        -- the challenge's id and the id of the device to be
    binding_key_id           uuid,
    binding_key              bytea,       -- SEC 1 uncompressed point, 65 bytes
    binding_key_purpose      text,
    binding_device_name      text,
    binding_otp_version      bigint,
    binding_created_at       timestamptz,
    binding_expires_at       timestamptz,
    binding_wrong_signatures bigint      not null default 0,
    binding_closed_at        timestamptz,
    primary key (partner_id, person_id)
);

create unique index person_binding on person (binding_id);

-- Bound devices and the tombstones of deleted ones. A pending device is not here: nothing can find it by mistake.
create table device (
    device_id           uuid        not null primary key,
    partner_id          text        not null,
    person_id           text        not null,
    name                text,
    created_at          timestamptz not null, -- when its registration began
    bound_at            timestamptz not null,
    binding_fingerprint bytea       not null, -- of the accepted signature, to know a repeat
    live_keys           bigint      not null check (live_keys >= 0),
    deleted_at          timestamptz
);

create index device_of_person on device (partner_id, person_id, created_at desc, device_id desc);
create index device_of_partner on device (partner_id, created_at desc, device_id desc);

create table device_key (
    key_id     uuid        not null primary key,
    device_id  uuid        not null references device (device_id),
    partner_id text        not null,
    public_key bytea       not null,
    purpose    text        not null,
    created_at timestamptz not null,
    used_at    timestamptz,
    deleted_at timestamptz
);

create index device_key_of_device on device_key (device_id);

-- A public key proves one device, so within a partner it belongs to at most one. A deleted device frees its keys.
create unique index device_key_taken on device_key (partner_id, public_key) where deleted_at is null;
