-- What housekeeping looks for, so that it finds the oldest without reading a whole table. The index on attempts costs the
-- asking for a device nothing more than it pays anyhow (binding_id is indexed), and a verdict nothing at all: neither
-- touches the instant at which the attempt expires.
create index person_attempt_expiry on person (binding_expires_at) where binding_id is not null;
create index mobile_number_code_expiry on mobile_number (challenge_expires_at) where challenge_id is not null;
create index fraud_assessment_age on fraud_assessment (assessed_at);

-- Who is at it now. Whoever finds a lease that is over takes it.
create table housekeeping_lease (
    task       text not null primary key,
    holder     blob not null,
    held_until text not null
) strict;
