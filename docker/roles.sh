#!/bin/sh
# Creates the roles and the database for docker-compose.yml. The Postgres image runs this once, when it initialises its
# data directory; the superuser is not used for anything else. Passwords are read from files, so no process list shows
# them.
set -eu
secrets=${SECRETS:-/run/secrets}
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<SQL
\set owner_password \`cat $secrets/database_owner_password\`
\set service_password \`cat $secrets/database_password\`
create role device_management_owner login password :'owner_password';
create role device_management login password :'service_password';
create role device_management_auditor nologin;
create database device_management owner device_management_owner;
revoke connect on database device_management from public;
grant connect on database device_management to device_management, device_management_auditor;
SQL
