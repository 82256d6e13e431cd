-- Erasures that are under way or were cut off: a row stands from the first commit of one to its last.
create table person_erasure (
    partner_id text    not null,
    person_id  text    not null,
    pseudonym  text    not null, -- the id that stands in the person's place
    begun_at   text    not null,
    steps      integer not null, -- commits so far
    primary key (partner_id, person_id)
) strict;
