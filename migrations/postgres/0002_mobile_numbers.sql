-- One mobile number per person. A deleted number leaves no row.
create table mobile_number (
    partner_id             text        not null,
    person_id              text        not null,
    number_id              uuid        not null,
    number                 text        not null, -- E.164
    created_at             timestamptz not null,
    verified_at            timestamptz,
    asserted_by            text,                 -- the client that vouched for the number instead of an SMS
    challenge_id           uuid,                 -- the newest code that was sent and not yet used up
    challenge_otp_version  bigint,
    challenge_expires_at   timestamptz,
    challenge_wrong_tokens bigint      not null default 0,
    primary key (partner_id, person_id)
);

-- Erasing a person looks whether another one has the number.
create index mobile_number_of_others on mobile_number (partner_id, number);
