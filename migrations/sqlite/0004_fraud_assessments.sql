-- What the fraud check said and what we did about it; never the payload.
create table fraud_assessment (
    assessment_id blob    not null primary key,
    partner_id    text    not null,
    person_id     text    not null,
    device_id     blob    not null, -- the device, or device to be
    action        text    not null,
    state         text    not null, -- approve, review, decline, or why there is no verdict
    score         real,
    provider_id   text,
    latency_ms    integer not null,
    allowed       text    not null, -- yes or no: what we did
    assessed_at   text    not null
) strict;

create index fraud_assessment_of_person on fraud_assessment (partner_id, person_id, assessed_at desc);

-- Housekeeping finds the oldest.
create index fraud_assessment_age on fraud_assessment (assessed_at);
