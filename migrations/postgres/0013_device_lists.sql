-- Lists of devices cost what a page costs, however many devices there are.
--
-- Live devices and tombstones have indexes of their own, so that a list of the one kind does not read through the other.
-- The indexes of the whole partner ask for live_keys, those of a person for deleted_at. Both say the same, since a device is
-- live exactly while it has keys. The difference keeps Postgres from finding one person's devices by the partner's index,
-- which it otherwise does for a partner that its statistics do not know.
drop index device_of_person;
drop index device_of_partner;
create index device_live_of_person on device (partner_id, person_id, created_at desc, device_id desc) where deleted_at is null;
create index device_deleted_of_person on device (partner_id, person_id, created_at desc, device_id desc) where deleted_at is not null;
create index device_live_of_partner on device (partner_id, created_at desc, device_id desc) where live_keys > 0;
create index device_deleted_of_partner on device (partner_id, created_at desc, device_id desc) where live_keys = 0;

-- A person's tombstones are counted where their live devices are.
alter table person add column deleted_devices bigint not null default 0 check (deleted_devices >= 0);
update person
   set deleted_devices = (select count(*)
                            from device
                           where device.partner_id = person.partner_id
                             and device.person_id = person.person_id
                             and device.deleted_at is not null);

-- How many devices a partner has that has too many to be counted for each list. Counted in the background.
create table device_count (
    partner_id text   not null primary key,
    live       bigint not null,
    deleted    bigint not null
);

-- `audit export --since` finds its first batch by this, `client list` its pages.
create index audit_seal_age on audit_seal (partner_id, sealed_at, seal);
create index client_age on client (created_at, client_id);
