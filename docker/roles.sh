#!/bin/sh
# Makes the roles and the database that docker-compose.yml uses. Postgres' image runs this once, when it makes its data
# folder; the superuser is used for nothing else. Passwords come from files and stand in no process list.
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
