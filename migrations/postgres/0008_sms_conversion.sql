-- Codes sent and used, by the minute in which they were sent. Replicas add to it every few seconds, so a minute has one
-- row, however many codes.
create table sms_conversion (
    partner_id     text        not null,
    country        text        not null, -- ISO 3166-1 alpha-2; ZZ for networks of no country
    sent_in_minute timestamptz not null, -- the minute's beginning
    sent           bigint      not null,
    used           bigint      not null,
    primary key (partner_id, country, sent_in_minute)
);

-- Judgements look at the newest minutes of everybody, housekeeping at the oldest.
create index sms_conversion_minute on sms_conversion (sent_in_minute);

-- From when on codes count again, after an operator had a look.
create table sms_conversion_reset (
    partner_id text        not null,
    country    text        not null,
    reset_at   timestamptz not null,
    primary key (partner_id, country)
);
