-- Who may call. A client belongs to one partner; the partner's name is the tenant key of every other table.
create table client (
    client_id   text    not null primary key,
    partner_id  text    not null,
    name        text,
    permissions text    not null, -- words separated by spaces
    created_at  text    not null,
    revoked_at  text
) strict;

-- `client list` finds its pages by this.
create index client_age on client (created_at, client_id);

-- Secrets are random 256-bit strings, so a plain SHA-256 is enough to keep them unreadable.
-- During a rotation a client has two.
create table client_secret (
    client_id   text    not null references client (client_id),
    secret_hash blob    not null,
    created_at  text    not null,
    expires_at  text,
    primary key (client_id, secret_hash)
) strict;

create index client_secret_expiry on client_secret (expires_at) where expires_at is not null;
