-- Messages of late, for the limits: a row for each code that was handed to a provider, or is about to be. It counts against
-- its number and against its person, and goes when no window reaches it, or when no provider took the message.
-- Erasing a person takes the person out of their rows, and the number out of all rows to a number that the person has, or
-- had when the row was written, and no other person of the partner has. A row with neither goes. So the limit of a number
-- that another person has outlives the erasure, and so does what was sent for another person.
create table sms_sent (
    partner_id text    not null,
    message_id blob    not null, -- the challenge whose code it carries
    number     text,             -- E.164; null after an erasure
    person_id  text,             -- null after an erasure
    sent_at    integer not null, -- microseconds since 1970
    primary key (partner_id, message_id)
) strict;

create index sms_sent_to_number on sms_sent (partner_id, number, sent_at);
create index sms_sent_for_person on sms_sent (partner_id, person_id, sent_at);
create index sms_sent_age on sms_sent (sent_at);

-- Two messages to one number are counted one after the other: each changes this row under the condition that the message
-- which was counted last is the one that its limits were read after. A lane is all numbers with the same three last digits,
-- so it names no one and is never removed. The same for a person is in the person's row.
create table sms_lane (
    partner_id      text not null,
    lane            text not null, -- three digits
    last_message_id blob not null,
    primary key (partner_id, lane)
) strict;

-- How far ahead of its rate each partner is: a send moves the instant forward by the time that it takes at that rate.
create table sms_partner_rate (
    partner_id text    not null primary key,
    ahead_to   integer not null -- microseconds since 1970
) strict;
