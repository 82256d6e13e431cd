-- One mobile number per person. A deleted number leaves no row.
create table mobile_number (
    partner_id             text    not null,
    person_id              text    not null,
    number_id              blob    not null,
    number                 text    not null, -- E.164
    created_at             text    not null,
    verified_at            text,
    asserted_by            text, -- the client that vouched for the number instead of an SMS
    challenge_id           blob, -- the newest code that was sent and not yet used up
    challenge_otp_version  integer,
    challenge_expires_at   text,
    challenge_wrong_tokens integer not null default 0,
    primary key (partner_id, person_id)
) strict;

-- Erasing a person looks whether another one has the number.
create index mobile_number_of_others on mobile_number (partner_id, number);
