-- One row per person: how many devices are bound, how often the person has failed of late, and the newest attempt to
-- bind another device.
-- The row is the one place where attempts and limits of a person are settled: a verification, a failure, a superseding
-- attempt and a deletion each change this row under a condition, so that the database puts them in an order.
-- An attempt is open while closed_at is null, it has not expired and wrong signatures are left.
create table person (
    partner_id               text        not null,
    person_id                text        not null,
    bound_devices            bigint      not null default 0 check (bound_devices >= 0),
    deleted_devices          bigint      not null default 0 check (deleted_devices >= 0),
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

-- Lists of devices cost what a page costs, however many devices there are.
-- Live devices and tombstones have indexes of their own, so that a list of the one kind does not read through the other.
-- The indexes of the whole partner ask for live_keys, those of a person for deleted_at. Both say the same, since a device is
-- live exactly while it has keys. The difference keeps Postgres from finding one person's devices by the partner's index,
-- which it otherwise does for a partner that its statistics do not know.
create index device_live_of_person on device (partner_id, person_id, created_at desc, device_id desc) where deleted_at is null;
create index device_deleted_of_person on device (partner_id, person_id, created_at desc, device_id desc) where deleted_at is not null;
create index device_live_of_partner on device (partner_id, created_at desc, device_id desc) where live_keys > 0;
create index device_deleted_of_partner on device (partner_id, created_at desc, device_id desc) where live_keys = 0;

-- How many devices a partner has that has too many to be counted for each list. Counted in the background.
create table device_count (
    partner_id text   not null primary key,
    live       bigint not null,
    deleted    bigint not null
);

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
