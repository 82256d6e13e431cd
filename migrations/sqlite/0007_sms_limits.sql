-- When codes were sent of late, for the limits. A row is written only by whoever has seen its newest version, so that
-- however many replicas send at once, each send has counted all sends before it.
create table sms_history (
    partner_id   text    not null,
    subject      text    not null, -- the number in E.164, or `person:` and the person's id
    sent_at      text    not null, -- instants in microseconds since 1970, oldest first, separated by commas
    version      integer not null,
    last_sent_at text    not null,
    primary key (partner_id, subject)
) strict;

-- How far ahead of its rate each partner is: a send moves the instant forward by the time that it takes at that rate.
create table sms_partner_rate (
    partner_id text    not null primary key,
    ahead_to   integer not null -- microseconds since 1970
) strict;
